//! The file of a fleet: boards, releases and variants, whose product is converted in one run.

use super::keys::{
    Fallback, Form, Key, Reader, Section, Shape, ValueType, invalid, join, kebab, keys, parsed,
};
use super::node::{self, Location, Node, Origin, OriginKind, Value};
use super::secrets::{self, SecretPlace, SecretReference};
use super::types::{HostPath, List, Sub, Subs};
use super::{Config, ConfigError, Layer, load_layers};
use crate::input_file;
use crate::problem::{Problem, Problems};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most targets of a fleet: a product of three lists grows quickly by mistake.
const MAX_TARGETS: usize = 4096;

keys! {
    /// Boards, releases and variants: each combination of them is one conversion, a target.
    pub struct FleetFile {
        /// The directory for the results: those of each target are in a directory of its name.
        output_dir: Option<PathBuf> => HostPath { unset "`deploy` in the directory of this file", like "\"out\"" }
        /// What all targets share.
        all: FleetShare => Sub<FleetShare> { default "{}" }
        /// The boards.
        board: Vec<FleetPart> => Subs<FleetPart> { default "[]" }
        /// The releases, such as `stable` and `testing`.
        release: Vec<FleetPart> => Subs<FleetPart> { default "[]" }
        /// The variants, such as one for each customer.
        variant: Vec<FleetPart> => Subs<FleetPart> { default "[]" }
        /// Combinations that are left out.
        exclude: Vec<FleetExclusion> => Subs<FleetExclusion> { default "[]" }
        /// Targets besides the combinations.
        target: Vec<FleetPart> => Subs<FleetPart> { default "[]" }
    }

    /// What all targets share. Lists come before those of boards, releases, variants and targets;
    /// anything else holds where they do not say otherwise.
    pub struct FleetShare {
        /// The golden image.
        golden_image: Option<PathBuf> => HostPath { unset "that of the board, release, variant or target", like "\"golden.img.zst\"" }
        /// Configurations, as with `convert --config`: built-in boards by name, files by path
        /// (ending in `.toml` or containing a `/`).
        config: Vec<PathBuf> => List<ConfigName> { default "[]" }
        /// Directories to copy over the root filesystem, as with `convert --overlay`.
        overlay: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Keys of the configuration, which override all files, as with `convert --set`. No
        /// secrets.
        set: Layer => Settings { default "{}" }
        /// The record of an earlier release whose devices must be able to install this one, as with
        /// `convert --upgrade-from`.
        upgrade_from: Option<PathBuf> => HostPath { unset "not compared", like "\"earlier/golden-atlas-1.json\"" }
        /// The earlier release whose block layout is reused, as with `convert --preserve-layout`.
        preserve_layout: Option<PathBuf> => HostPath { unset "a layout of its own", like "\"earlier/golden-atlas-1.img\"" }
    }

    /// A board, a release, a variant, or a target besides their combinations.
    pub struct FleetPart {
        /// Its name, of letters, digits, `.`, `_` and `-`. The name of a target is that of its
        /// board, release and variant, joined by `-`.
        name: String => PartName { required like "\"atlas\"" }
        /// The golden image.
        golden_image: Option<PathBuf> => HostPath { unset "that of `[all]`", like "\"golden.img.zst\"" }
        /// Configurations, after those of `[all]`.
        config: Vec<PathBuf> => List<ConfigName> { default "[]" }
        /// Directories to copy over the root filesystem, after those of `[all]`.
        overlay: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Keys of the configuration, which override all files and `all.set`.
        set: Layer => Settings { default "{}" }
        /// The record of an earlier release whose devices must be able to install this one.
        upgrade_from: Option<PathBuf> => HostPath { unset "that of `[all]`", like "\"earlier/golden-atlas-1.json\"" }
        /// The earlier release whose block layout is reused.
        preserve_layout: Option<PathBuf> => HostPath { unset "that of `[all]`", like "\"earlier/golden-atlas-1.img\"" }
    }

    /// Combinations that are left out: those of all that is named here.
    pub struct FleetExclusion {
        /// The board.
        board: Option<String> => PartName { unset "all", like "\"atlas\"" }
        /// The release.
        release: Option<String> => PartName { unset "all", like "\"testing\"" }
        /// The variant.
        variant: Option<String> => PartName { unset "all", like "\"lab\"" }
    }
}

/// One conversion of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetTarget {
    /// Its name, which no other target has; a name of a file.
    pub name: String,
    /// The board, the release and the variant, if it is a combination of such.
    pub axes: BTreeMap<&'static str, String>,
    /// The golden image.
    pub golden_image: PathBuf,
    /// Configuration files and built-in boards, later ones over earlier ones.
    pub config: Vec<PathBuf>,
    /// Directories to copy over the root filesystem.
    pub overlay: Vec<PathBuf>,
    /// Keys that override all files, later ones over earlier ones.
    pub settings: Vec<Layer>,
    /// The record of an earlier release.
    pub upgrade_from: Option<PathBuf>,
    /// The earlier release whose block layout is reused.
    pub preserve_layout: Option<PathBuf>,
    /// The directory for its results alone.
    pub output_dir: PathBuf,
}

impl FleetTarget {
    /// The merged configuration.
    ///
    /// # Errors
    /// All problems in any of its files.
    pub fn load(&self) -> Result<Config, ConfigError> {
        load_layers(&self.config, self.settings.clone())
    }

    /// The settings as arguments of `--set`.
    pub fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.settings.iter().flat_map(Layer::arguments)
    }
}

/// A fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The directory of its file; empty for the current directory.
    pub directory: PathBuf,
    /// At least one, with different names.
    pub targets: Vec<FleetTarget>,
}

impl Fleet {
    /// Reads the file of a fleet.
    ///
    /// # Errors
    /// All problems of the file, with their lines. The files that it names are not opened.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = input_file::read_text(path, super::MAX_TEXT as u64, "a fleet")
            .map_err(|e| {
                let problem = Problem::new(format!("reading {name}: {e}"));
                Problems::from(problem.hint(
                    "the argument is a TOML file with boards, releases and variants (docs/fleet.md); one image is \
                     converted by `goldsmith convert`",
                ))
            })?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&text, name, base)
    }

    /// Reads the text of such a file, which is called `name` and is in the directory `base`.
    ///
    /// # Errors
    /// All problems of the text.
    pub fn parse(text: &str, name: String, base: PathBuf) -> Result<Self, ConfigError> {
        let directory = base.clone();
        let kind = OriginKind::File;
        let origin = Arc::new(Origin { kind, name, base });
        let node = node::parse(text, &origin)?;
        let mut problems = Problems::default();
        let file = Sub::<FleetFile>::read(&node, "", &mut problems);
        problems.check()?;
        let file = file.ok_or_else(|| Problems::from(Problem::new("the fleet is unreadable")))?;
        let reading = Reading {
            file: &file,
            node: &node,
        };
        let targets = reading.targets(&directory)?;
        Ok(Self { directory, targets })
    }

    /// Leaves only the targets with these names; all if there are none.
    ///
    /// # Errors
    /// Names that no target has.
    pub fn select(&mut self, names: &[String]) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for name in names {
            if !self.targets.iter().any(|target| target.name == *name) {
                let known = self.targets.iter().map(|target| target.name.as_str());
                let problem = Problem::new(format!("the fleet has no target {name}"));
                problems.push(match crate::nearest::nearest(name, known.clone()) {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => {
                        let known: Vec<&str> = known.take(20).collect();
                        problem.hint(format!("its targets are {}", known.join(", ")))
                    }
                });
            }
        }
        problems.check()?;
        if !names.is_empty() {
            self.targets.retain(|target| names.contains(&target.name));
        }
        Ok(())
    }
}

/// The three lists that multiply, by their keys.
const AXES: [&str; 3] = ["board", "release", "variant"];

/// A file with the locations of its values.
struct Reading<'f> {
    file: &'f FleetFile,
    node: &'f Node,
}

impl Reading<'_> {
    /// The location of `key` in the table with this number of the list `list`.
    fn location(&self, list: &str, number: usize, key: &str) -> Location {
        let item = match self.node.get(list).map(|node| &node.value) {
            Some(Value::Array(items)) => items.get(number),
            _ => None,
        };
        let value = item.and_then(|item| item.get(key)).or(item);
        value.unwrap_or(self.node).location.clone()
    }

    fn list(&self, axis: &str) -> &[FleetPart] {
        match axis {
            "board" => &self.file.board,
            "release" => &self.file.release,
            _ => &self.file.variant,
        }
    }

    fn targets(&self, directory: &Path) -> Result<Vec<FleetTarget>, Problems> {
        let mut problems = Problems::default();
        for list in AXES.into_iter().chain(["target"]) {
            self.refuse_repeated(list, &mut problems);
        }
        problems.check()?;
        let mut problems = Problems::default();
        let combinations = self.combinations()?;
        let left = self.without_excluded(combinations, &mut problems);
        let output_dir = self.file.output_dir.clone();
        let output_dir = output_dir.unwrap_or_else(|| directory.join("deploy"));
        let mut targets: Vec<FleetTarget> = Vec::new();
        let single = self.file.target.iter();
        let all = left
            .into_iter()
            .chain(single.map(|part| vec![("target", part)]));
        for parts in all {
            match self.target(&parts, &output_dir) {
                Ok(target) if targets.iter().any(|other| other.name == target.name) => {
                    let name = &target.name;
                    let message =
                        format!("{}: two targets have the name {name}", self.node.location);
                    problems.push(Problem::new(message).hint(
                        "rename a board, release, variant or target: their names are joined by `-`",
                    ));
                }
                Ok(target) => targets.push(target),
                Err(problem) => problems.push(problem),
            }
        }
        problems.check()?;
        if targets.is_empty() {
            let message = format!("{}: the fleet has no targets", self.node.location);
            let excluded = format!("{message}: each combination is excluded");
            let problem = match AXES.iter().all(|axis| self.list(axis).is_empty()) {
                true => Problem::new(message).hint("add [[board]] or [[target]] tables"),
                false => Problem::new(excluded)
                    .hint("take an [[exclude]] table out, or add [[target]] tables"),
            };
            return Err(problem.into());
        }
        Ok(targets)
    }

    fn refuse_repeated(&self, list: &str, problems: &mut Problems) {
        let parts = match list {
            "target" => &self.file.target,
            axis => self.list(axis),
        };
        for (at, part) in parts.iter().enumerate() {
            if parts.iter().take(at).any(|other| other.name == part.name) {
                let location = self.location(list, at, "name");
                let what = format!("{location}: another {list} has the name {}", part.name);
                problems.push(Problem::new(what));
            }
        }
    }

    /// Each board with each release and each variant. A list that is empty takes no part.
    fn combinations(&self) -> Result<Vec<Vec<(&'static str, &FleetPart)>>, Problems> {
        let lists = AXES.map(|axis| (axis, self.list(axis)));
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let mut out: Vec<Vec<(&'static str, &FleetPart)>> = Vec::new();
        for (axis, list) in lists {
            let from = if out.is_empty() {
                vec![Vec::new()]
            } else {
                out
            };
            let many = from.len().saturating_mul(list.len());
            if many > MAX_TARGETS {
                let start = &self.node.location;
                let message =
                    format!("{start}: {many} combinations exceed the limit of {MAX_TARGETS}");
                return Err(Problem::new(message).into());
            }
            out = from
                .iter()
                .flat_map(|parts| {
                    list.iter()
                        .map(move |part| [&parts[..], &[(axis, part)]].concat())
                })
                .collect();
        }
        Ok(out)
    }

    fn without_excluded<'p>(
        &self,
        mut combinations: Vec<Vec<(&'static str, &'p FleetPart)>>,
        problems: &mut Problems,
    ) -> Vec<Vec<(&'static str, &'p FleetPart)>> {
        for (at, exclusion) in self.file.exclude.iter().enumerate() {
            let named = [&exclusion.board, &exclusion.release, &exclusion.variant];
            let wanted: Vec<(&str, &String)> = AXES
                .into_iter()
                .zip(named)
                .filter_map(|(axis, name)| Some((axis, name.as_ref()?)))
                .collect();
            let matches = |parts: &Vec<(&'static str, &FleetPart)>| {
                let has = |(axis, name): &(&str, &String)| {
                    parts
                        .iter()
                        .any(|(other, part)| other == axis && part.name == **name)
                };
                wanted.iter().all(has)
            };
            let before = combinations.len();
            if !wanted.is_empty() {
                combinations.retain(|parts| !matches(parts));
            }
            if combinations.len() == before {
                let location = self.location("exclude", at, "");
                let message = format!("{location}: [[exclude]] matches no combination");
                problems.push(Problem::new(message).hint(
                    "name a board, a release or a variant of this file, or take the table out",
                ));
            }
        }
        combinations
    }

    /// The target of these parts, the later ones over the earlier ones.
    fn target(
        &self,
        parts: &[(&'static str, &FleetPart)],
        output_dir: &Path,
    ) -> Result<FleetTarget, Problem> {
        let all = &self.file.all;
        let names: Vec<&str> = parts.iter().map(|(_, part)| part.name.as_str()).collect();
        let name = names.join("-");
        let last = |own: &dyn Fn(&FleetPart) -> Option<PathBuf>, shared: &Option<PathBuf>| {
            let own = parts.iter().rev().find_map(|(_, part)| own(part));
            own.or_else(|| shared.clone())
        };
        let golden_image = last(&|part| part.golden_image.clone(), &all.golden_image);
        let Some(golden_image) = golden_image else {
            let message = format!("{}: target {name} has no golden image", self.node.location);
            return Err(Problem::new(message).hint("set all.golden-image"));
        };
        let joined = |shared: &[PathBuf], own: &dyn Fn(&FleetPart) -> Vec<PathBuf>| {
            let own = parts.iter().flat_map(|(_, part)| own(part));
            shared.iter().cloned().chain(own).collect()
        };
        let settings = parts.iter().map(|(_, part)| &part.set);
        let axes = parts.iter().filter(|(axis, _)| AXES.contains(axis));
        Ok(FleetTarget {
            axes: axes
                .map(|(axis, part)| (*axis, part.name.clone()))
                .collect(),
            golden_image,
            config: joined(&all.config, &|part| part.config.clone()),
            overlay: joined(&all.overlay, &|part| part.overlay.clone()),
            settings: std::iter::once(&all.set).chain(settings).cloned().collect(),
            upgrade_from: last(&|part| part.upgrade_from.clone(), &all.upgrade_from),
            preserve_layout: last(&|part| part.preserve_layout.clone(), &all.preserve_layout),
            output_dir: output_dir.join(&name),
            name,
        })
    }
}

/// A configuration: a built-in board by name, or a file by path.
struct ConfigName;

impl ValueType for ConfigName {
    type Output = PathBuf;

    fn shape() -> Shape {
        Shape::Plain("name of a built-in board, or path".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<PathBuf> {
        let path = HostPath::read(node, at, problems)?;
        let Value::String(text) = &node.value else {
            return Some(path);
        };
        let is_file = text.contains('/') || text.ends_with(".toml");
        Some(if is_file { path } else { text.into() })
    }
}

/// The name of a board, release, variant or target.
struct PartName;

impl ValueType for PartName {
    type Output = String;

    fn shape() -> Shape {
        Shape::Plain("name".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        parsed(node, at, "a name", problems, |text| {
            let plain = (1..=64).contains(&text.len()) && text.chars().all(allowed);
            if plain && !text.starts_with(['.', '-']) {
                return Ok(text.to_owned());
            }
            Err(format!(
                "`{text}` is not a name: 1 to 64 letters, digits, `.`, `_` and `-`, the first of \
                 them a letter, a digit or `_`"
            ))
        })
    }
}

/// Keys of the configuration, as a table.
struct Settings;

impl ValueType for Settings {
    type Output = Layer;

    fn shape() -> Shape {
        Shape::Plain("table of keys of the configuration".into())
    }

    fn form() -> Form {
        Form::Table
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Layer> {
        if !matches!(node.value, Value::Table(_)) {
            let what = format!("expected a table, found {}", node.what());
            invalid(node, at, &what, None, problems);
            return None;
        }
        if let Some(extends) = node.get("extends") {
            let hint = Some("name the board or file in `config`".to_owned());
            invalid(extends, at, "`extends` is for files", hint, problems);
            return None;
        }
        let mut found = Problems::default();
        let layer = Layer::new(node.clone()).map_err(|ConfigError(more)| found.0.extend(more.0));
        if let Ok(layer) = &layer {
            super::read(&layer.0, &mut found);
            refuse_secrets(&layer.0, &mut found);
        }
        let sound = found.0.is_empty();
        problems.0.extend(found.0);
        layer.ok().filter(|_| sound)
    }
}

/// Adds a problem for each secret: actions have settings in their arguments. Files of secrets may
/// be named.
fn refuse_secrets(node: &Node, problems: &mut Problems) {
    let mut found = Vec::new();
    secrets::collect("", &Config::keys(), node, &mut found);
    let shown = |one: &SecretReference| !matches!(one.place, SecretPlace::File(_));
    for one in found.iter().filter(|one| shown(one)) {
        let message = format!(
            "{}: a secret, which `set` would show in command lines",
            one.location.with_key(&one.key)
        );
        let hint = "write it to a file that `config` names";
        problems.push(Problem::new(message).hint(hint));
    }
}

/// All keys of the file of a fleet as a table in Markdown, for its page.
#[must_use]
pub fn fleet_keys() -> String {
    let mut out = String::from("| key | value | meaning |\n| --- | --- | --- |\n");
    rows("", &FleetFile::keys(), &mut out);
    out
}

fn rows(at: &str, keys: &[Key], out: &mut String) {
    for key in keys {
        let path = join(at, &key.name);
        let doc = super::keys::paragraph(key.doc);
        match &key.shape {
            Shape::Table(_, keys) => {
                out.push_str(&format!("| `[{path}]` | table | {doc} |\n"));
                rows(&path, keys, out);
            }
            // A target has the keys of a board.
            Shape::Tables(_, _)
                if matches!(key.name.as_str(), "release" | "variant" | "target") =>
            {
                out.push_str(&format!(
                    "| `[[{path}]]` | tables, as `[[board]]` | {doc} |\n"
                ));
            }
            Shape::Tables(_, keys) => {
                out.push_str(&format!("| `[[{path}]]` | tables | {doc} |\n"));
                rows(&path, keys, out);
            }
            Shape::Plain(_) | Shape::Secret => {
                let end = match key.fallback {
                    Fallback::Unset { meaning, .. } => format!(" If not set: {meaning}."),
                    Fallback::Required { .. } => " Required.".to_owned(),
                    Fallback::Default(_) => String::new(),
                };
                out.push_str(&format!(
                    "| `{path}` | {} | {doc}{end} |\n",
                    key.shape.text()
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fleet, ConfigError> {
        Fleet::parse(text, "fleet.toml".into(), "dir".into())
    }

    fn messages(text: &str) -> Vec<String> {
        let ConfigError(problems) = parse(text).expect_err("a fleet that is refused");
        problems
            .0
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    const FLEET: &str = "\
[all]
golden-image = \"golden.img\"
config = \"common.toml\"
overlay = [\"overlay/common\"]
set = { artifact.name = \"1\", storage.size = \"8 GiB\" }

[[board]]
name = \"atlas\"
config = [\"qemux86-64\", \"boards/atlas.toml\"]

[[board]]
name = \"boreas\"
golden-image = \"/other.img\"

[[release]]
name = \"stable\"

[[release]]
name = \"testing\"
set = { artifact.name = \"2\" }

[[variant]]
name = \"lab\"
overlay = \"overlay/lab\"

[[exclude]]
board = \"boreas\"
release = \"testing\"

[[target]]
name = \"single\"
";

    #[test]
    fn targets_are_the_product_and_the_rest() {
        let fleet = parse(FLEET).unwrap();
        let names: Vec<&str> = fleet.targets.iter().map(|one| one.name.as_str()).collect();
        let expected = [
            "atlas-stable-lab",
            "atlas-testing-lab",
            "boreas-stable-lab",
            "single",
        ];
        assert_eq!(names, expected);
        let one = &fleet.targets[1];
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            one.config,
            paths(&["dir/common.toml", "qemux86-64", "dir/boards/atlas.toml"])
        );
        assert_eq!(
            one.overlay,
            paths(&["dir/overlay/common", "dir/overlay/lab"])
        );
        assert_eq!(one.golden_image, Path::new("dir/golden.img"));
        assert_eq!(one.output_dir, Path::new("dir/deploy/atlas-testing-lab"));
        let arguments: Vec<String> = one.arguments().collect();
        assert_eq!(
            arguments,
            [
                "artifact.name=\"1\"",
                "storage.size=\"8 GiB\"",
                "artifact.name=\"2\""
            ]
        );
        let axes: Vec<_> = one.axes.values().map(String::as_str).collect();
        assert_eq!(axes, ["atlas", "testing", "lab"]);
        assert_eq!(fleet.targets[2].golden_image, Path::new("/other.img"));
        assert!(fleet.targets[3].axes.is_empty());
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        let all = "[all]\ngolden-image = \"g\"\n";
        for (text, message) in [
            ("", "fleet.toml:1:1: the fleet has no targets"),
            (
                &*format!("{all}[[board]]\nname = \"a\"\n[[exclude]]\nboard = \"a\"\n"),
                "fleet.toml:1:1: the fleet has no targets: each combination is excluded",
            ),
            (
                "[[board]]\nname = \"a\"\n",
                "fleet.toml:1:1: target a has no golden image",
            ),
            ("[[bord]]\n", "fleet.toml:1:3: unknown key `bord`"),
            ("[[board]]\n", "fleet.toml:1:1: board.name is missing"),
            (
                "[[board]]\nname = \"a/b\"\n",
                "fleet.toml:2:8: board.name: `a/b` is not a name: 1 to 64 letters, digits, `.`, `_` and `-`, the first of them a letter, a digit or `_`",
            ),
            (
                "[all.set]\nstorage.sise = 1\n",
                "fleet.toml:2:9: unknown key `storage.sise`",
            ),
            (
                "[all.set]\nserver.tenant-token = \"x\"\n",
                "fleet.toml:2:23: server.tenant-token: a secret, which `set` would show in command lines",
            ),
            (
                "[all]\nset = 3\n",
                "fleet.toml:2:7: all.set: expected a table, found a number",
            ),
        ] {
            assert_eq!(messages(text), [message], "{text}");
        }
        let repeated = format!("{all}[[board]]\nname = \"a\"\n[[board]]\nname = \"a\"\n");
        assert_eq!(
            messages(&repeated),
            ["fleet.toml:6:8: another board has the name a"]
        );
        let joined = format!(
            "{all}[[board]]\nname = \"a-b\"\n[[board]]\nname = \"a\"\n[[release]]\nname = \"c\"\n[[release]]\nname = \"b-c\"\n"
        );
        assert_eq!(
            messages(&joined),
            ["fleet.toml:1:1: two targets have the name a-b-c"]
        );
        let idle = format!("{all}[[board]]\nname = \"a\"\n[[exclude]]\nboard = \"b\"\n");
        assert_eq!(
            messages(&idle),
            ["fleet.toml:5:1: [[exclude]] matches no combination"]
        );
        let part = |list: &str, n: usize| format!("[[{list}]]\nname = \"{list}{n}\"\n");
        let mut many = all.to_owned();
        for n in 0..20 {
            many += &[part("board", n), part("release", n), part("variant", n)].concat();
        }
        assert_eq!(
            messages(&many),
            ["fleet.toml:1:1: 8000 combinations exceed the limit of 4096"]
        );
    }

    #[test]
    fn a_selection_names_targets() {
        let mut fleet = parse(FLEET).unwrap();
        let Problems(problems) = fleet.select(&["singel".into()]).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "the fleet has no target singel\nhint: did you mean `single`?"
        );
        fleet.select(&["single".into()]).unwrap();
        assert_eq!(fleet.targets.len(), 1);
    }
}
