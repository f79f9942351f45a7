#!/usr/bin/python3
"""book.py DIRECTORY: makes a book of the pages that docs/SUMMARY.md lists: an HTML file each, which need no network and no scripts.

Fails on links that lead nowhere. docs/decisions/0018-book.md says why this is not mdBook.
"""

import html
import os
import pathlib
import re
import shutil
import sys

import markdown

TOP = pathlib.Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #8f5c00; }
@media (prefers-color-scheme: dark) { :root { --accent: #e8b04b; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; display: flex; }
nav { width: 19rem; flex: none; height: 100vh; position: sticky; top: 0; overflow-y: auto; padding: 1rem 1.2rem; border-right: 1px solid var(--line); font-size: .9rem; }
nav p { margin: 1.2rem 0 .3rem; font-weight: 600; }
nav a { display: block; padding: .12rem 0; color: inherit; text-decoration: none; }
nav a:hover, nav a.here { color: var(--accent); }
main { min-width: 0; max-width: 58rem; padding: 1rem 2.5rem 5rem; }
a { color: var(--accent); }
a:not([href]) { color: inherit; text-decoration: underline dotted; }
h1, h2, h3 { line-height: 1.25; margin-top: 1.8em; }
h1 { margin-top: .5em; }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; }
code { font: .88em/1.45 ui-monospace, monospace; background: var(--soft); padding: .1em .25em; border-radius: 3px; }
pre code { background: none; padding: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td:first-child code { white-space: nowrap; }
p:has(+ pre) { margin-bottom: .4rem; }
p + pre { margin-top: .4rem; }
img { max-width: 100%; }
.contents { display: none; }
.sections { font-size: .92rem; border-left: 3px solid var(--line); padding-left: .8rem; }
footer { margin-top: 3rem; display: flex; justify-content: space-between; }
@media (max-width: 50rem) { body { flex-direction: column-reverse; } nav { width: auto; height: auto; position: static; border: 0; border-top: 1px solid var(--line); } main { padding: 1rem; } .contents { display: inline; } }
@media print { nav, footer { display: none; } }
"""


def contents():
    """The chapters of the table of contents: (None, title of a part) or (path, title)."""
    for line in (DOCS / "SUMMARY.md").read_text().splitlines():
        if line.startswith("# ") and line != "# Summary":
            yield None, line[2:]
        elif found := re.match(r"\s*- \[(.*)\]\((.*)\)$", line):
            yield found[2], found[1]


def slug(text, _separator="-"):
    """The name of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def inline(text):
    return markdown.markdown(text).removeprefix("<p>").removesuffix("</p>")


class Book:
    def __init__(self):
        self.chapters = list(contents())
        self.pages = {path: title for path, title in self.chapters if path}
        self.html, self.anchors, self.wrong = {}, {}, []

    def read(self):
        for path in self.pages:
            extensions = ["extra", "toc", "sane_lists"]
            converter = markdown.Markdown(extensions=extensions, extension_configs={"toc": {"slugify": slug}})
            text = converter.convert((DOCS / path).read_text())
            self.anchors[path] = set(re.findall(r'<h\d id="([^"]*)"', text))
            text = self.with_contents(text)
            self.html[path] = text.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")

    @staticmethod
    def with_contents(text):
        """A long page begins with links to its sections."""
        sections = re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', text)
        if not 6 <= len(sections) <= 40:
            return text
        links = [f'<a href="#{anchor}">{re.sub("<.*?>", "", title)}</a>' for anchor, title in sections]
        return text.replace("</h1>", f'</h1>\n<p class="sections">{" · ".join(links)}</p>', 1)

    def link(self, page, found):
        """Links to pages go to their HTML; to other files of the project they become text."""
        attribute, target = found[1], html.unescape(found[2])
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        file, _, anchor = target.partition("#")
        full = (DOCS / page).parent / file if file else DOCS / page
        full = pathlib.Path(os.path.normpath(full))
        inside = os.path.relpath(full, DOCS)
        if inside in self.pages:
            if anchor and anchor not in self.anchors[inside]:
                self.wrong.append(f"{page}: {target}")
            here = os.path.relpath(inside, os.path.dirname(page) or ".").removesuffix(".md") + ".html"
            return f'{attribute}="{here if file else ""}{"#" + anchor if anchor else ""}"'
        if not full.exists():
            self.wrong.append(f"{page}: {target}")
        if attribute == "src" or inside.startswith("schemas/"):
            return found[0]
        return f'title="{html.escape(os.path.relpath(full, TOP))} in the source"'

    def navigation(self, page):
        up = os.path.relpath(".", os.path.dirname(page) or ".")
        for path, title in self.chapters:
            if path is None:
                yield f"<p>{inline(title)}</p>"
            else:
                here = ' class="here"' if path == page else ""
                yield f'<a{here} href="{up}/{path.removesuffix(".md")}.html">{inline(title)}</a>'

    def around(self, page):
        order = list(self.pages)
        at = order.index(page)
        up = os.path.relpath(".", os.path.dirname(page) or ".")
        for other, arrow in [(at - 1, "← {}"), (at + 1, "{} →")]:
            if 0 <= other < len(order):
                title = inline(self.pages[order[other]])
                yield f'<a href="{up}/{order[other].removesuffix(".md")}.html">{arrow.format(title)}</a>'
            else:
                yield "<span></span>"

    def write(self, output):
        for page, title in self.pages.items():
            body = re.sub(r'\b(href|src)="([^"]*)"', lambda found, page=page: self.link(page, found), self.html[page])
            file = output / (page.removesuffix(".md") + ".html")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>{html.escape(title)} - goldsmith</title><style>{STYLE}</style></head><body>\n"
                f'<nav id="contents"><strong>goldsmith</strong>\n{chr(10).join(self.navigation(page))}\n</nav>\n'
                f'<main>\n<a class="contents" href="#contents">All pages</a>\n{body}\n'
                f"<footer>{''.join(self.around(page))}</footer>\n</main></body></html>\n"
            )
        for picture in DOCS.glob("*.svg"):
            shutil.copy(picture, output)
        shutil.copytree(DOCS / "schemas", output / "schemas", dirs_exist_ok=True)
        first = next(iter(self.pages)).removesuffix(".md")
        shutil.copy(output / f"{first}.html", output / "index.html")


def main():
    output = pathlib.Path(sys.argv[1])
    shutil.rmtree(output, ignore_errors=True)
    book = Book()
    book.read()
    book.write(output)
    if book.wrong:
        sys.exit("book.py: links to nothing:\n" + "\n".join(book.wrong))
    print(output / "index.html")


main()
