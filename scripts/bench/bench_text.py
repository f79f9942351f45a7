"""Tables of measurements, and their place in a page."""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def seconds(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def put(page, name, text):
    """Replaces what is between the markers of `name` in the file `page`."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, rest = page.read_text().split(begin, 1)
    page.write_text(before + begin + text + "\n" + end + rest.split(end, 1)[1])
