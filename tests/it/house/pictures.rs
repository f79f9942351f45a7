//! The pictures of `docs/concepts.md`, drawn from the model that the boot scripts implement and
//! from the plan that `docs/converting.md` shows. `GOLDSMITH_BLESS=1` draws them anew.

use super::source::top;
use crate::support::{must, tool};
use goldsmith::boot::state::{
    BlockPair, Cut, EnvCopy, Environment, Power, Row, SerialCopy, SerialPair, Slot, Values,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Something that happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The update client writes a release to the slot that is not running.
    Install,
    /// The device starts, and all kernels load.
    Restart,
    /// The device starts, and the kernel of the slot that was just written does not load.
    BadKernel,
    /// The update client keeps the release that runs.
    Commit,
}

/// What a device knows and does: the values that are believed, and the slot that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    values: Values,
    running: Slot,
}

/// The first state of every device.
const FLASHED: State = State {
    values: Values {
        part: Slot::A,
        upgrade: false,
        count: false,
    },
    running: Slot::A,
};

impl State {
    /// Whether the event can happen: nothing is installed over a trial.
    fn allows(self, event: Event) -> bool {
        let Values { part, upgrade, .. } = self.values;
        match event {
            Event::Install => !upgrade,
            Event::Restart => true,
            Event::BadKernel => upgrade && part != self.running,
            Event::Commit => upgrade && part == self.running,
        }
    }

    /// The state after `event`, by an environment with these values.
    fn after(self, event: Event, mut environment: impl Environment) -> Self {
        let written = self.running.other();
        let mut running = self.running;
        match event {
            Event::Install => assert_eq!(environment.set(Values::pending(written)), Ok(true)),
            Event::Commit => assert_eq!(environment.set(Values::committed(running)), Ok(true)),
            Event::Restart | Event::BadKernel => {
                let loads = |slot| event == Event::Restart || slot != written;
                running = environment.boot(loads).unwrap().expect("a slot that loads");
                environment.finish(running).unwrap();
            }
        }
        let mut values = environment.believed().expect("a good copy");
        values.count &= values.upgrade;
        Self { values, running }
    }

    /// The state after `event`, in which both kinds of environment must agree.
    fn next(self, event: Event) -> Self {
        let blocks = BlockPair::new([EnvCopy::clean(self.values); 2]);
        let copy = |serial| Some(SerialCopy::good(serial, self.values));
        let serial = SerialPair::new([copy(1), copy(2)]);
        let after = self.after(event, blocks);
        assert_eq!(after, self.after(event, serial), "{self:?} {event:?}");
        after
    }
}

/// All states that a device can be in, each with what follows it.
fn machine() -> BTreeMap<State, Vec<(Event, State)>> {
    let mut out = BTreeMap::new();
    let mut open = vec![FLASHED];
    while let Some(state) = open.pop() {
        if out.contains_key(&state) {
            continue;
        }
        let events = [
            Event::Install,
            Event::Restart,
            Event::BadKernel,
            Event::Commit,
        ];
        let events = events.into_iter().filter(|event| state.allows(*event));
        let next: Vec<(Event, State)> = events.map(|event| (event, state.next(event))).collect();
        open.extend(next.iter().map(|(_, state)| *state));
        out.insert(state, next);
    }
    out
}

/// A picture in SVG 1.1, for light and dark pages.
struct Picture {
    width: u32,
    height: u32,
    body: String,
}

const STYLE: &str = "text{fill:#222}.soft{fill:#666}.box{fill:#f6f6f6;stroke:#888}.slot{fill:none;stroke:#888}\
    .run{fill:#e0b04c;stroke:#888}.run-text{fill:#222}.line{fill:none;stroke:#555;stroke-width:1.5}\
    .back{fill:none;stroke:#b4451f;stroke-width:1.5;stroke-dasharray:5 3}.tip{fill:#555}.back-tip{fill:#b4451f}\
    .fs{fill:#9cc3e6}.used{fill:#2f6fab}.data{fill:#9bbf85;stroke:#888}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.soft{fill:#aaa}.box{fill:#2a2a2a}.line{stroke:#bbb}\
    .tip{fill:#bbb}.back{stroke:#ff9a76}.back-tip{fill:#ff9a76}.fs{fill:#35546f}.used{fill:#7db7e8}\
    .run-text,.on-data{fill:#222}}";

impl Picture {
    fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    fn text(&mut self, x: f64, y: f64, more: &str, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{y}\" {more}>{words}</text>");
    }

    fn rectangle(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\"/>"
        );
    }

    fn path(&mut self, class: &str, way: &str) {
        let tip = if class == "back" { "back-tip" } else { "tip" };
        let _ = writeln!(
            self.body,
            "<path class=\"{class}\" marker-end=\"url(#{tip})\" d=\"{way}\"/>"
        );
    }

    fn svg(&self) -> String {
        let marker = |name: &str| {
            format!(
                "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
                 orient=\"auto\"><path class=\"{name}\" d=\"M0 0 8 4 0 8z\"/></marker>\n"
            )
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<style>{STYLE}</style>\n{}{}{}</svg>\n",
            self.width,
            self.height,
            marker("tip"),
            marker("back-tip"),
            self.body
        )
    }
}

/// Compares a picture with its file.
fn held(name: &str, picture: &Picture) {
    held_text(name, &picture.svg());
}

fn held_text(name: &str, drawn: &str) {
    let path = top().join("docs").join(name);
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, drawn).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == drawn,
        "docs/{name} differs from what it is drawn from; run the test with GOLDSMITH_BLESS=1"
    );
}

const BOX: (f64, f64) = (230.0, 112.0);

/// The places of the boxes, around in the order of a life: left to right above, back below.
const PLACES: [(f64, f64); 6] = [
    (20.0, 70.0),
    (345.0, 70.0),
    (670.0, 70.0),
    (670.0, 300.0),
    (345.0, 300.0),
    (20.0, 300.0),
];

fn number(slot: Slot) -> u32 {
    match slot {
        Slot::A => 1,
        Slot::B => 2,
    }
}

/// A state: what it means, both slots, and the values of the environment.
fn state(picture: &mut Picture, (x, y): (f64, f64), state: State) {
    let Values {
        part,
        upgrade,
        count,
    } = state.values;
    let title = match (upgrade, part == state.running) {
        (false, _) => format!("{part:?} runs"),
        (true, false) => format!("{part:?} is written, {:?} runs", state.running),
        (true, true) => format!("{part:?} is on trial"),
    };
    picture.rectangle("box", x, y, BOX.0, BOX.1);
    picture.text(x + 12.0, y + 22.0, "font-weight=\"bold\"", &title);
    for (at, slot) in [Slot::A, Slot::B].into_iter().enumerate() {
        let left = x + 12.0 + 105.0 * at as f64;
        let runs = slot == state.running;
        picture.rectangle(
            if runs { "run" } else { "slot" },
            left,
            y + 32.0,
            99.0,
            26.0,
        );
        let words = match (runs, slot == part) {
            (true, true) => format!("{slot:?} runs, next"),
            (true, false) => format!("{slot:?} runs"),
            (false, true) => format!("{slot:?} next"),
            (false, false) => format!("{slot:?}"),
        };
        let class = if runs { "class=\"run-text\"" } else { "" };
        picture.text(left + 8.0, y + 50.0, class, &words);
    }
    let values = [
        format!("mender_boot_part={}", number(part)),
        format!(
            "upgrade_available={} bootcount={}",
            u8::from(upgrade),
            u8::from(count)
        ),
    ];
    for (line, text) in values.iter().enumerate() {
        let more = "class=\"soft\" font-size=\"11\" font-family=\"monospace\"";
        picture.text(x + 12.0, y + 78.0 + 16.0 * line as f64, more, text);
    }
}

/// The words on the arrow of an event, with the row of the decision table.
fn words(from: State, event: Event) -> String {
    match event {
        Event::Install => "install".to_owned(),
        Event::Commit => "commit".to_owned(),
        Event::Restart => format!("restart (row {})", Row::of_values(from.values).number()),
        Event::BadKernel => format!(
            "restart, kernel does not load (row {})",
            Row::SlotDoesNotLoad.number()
        ),
    }
}

/// The arrow between two boxes. Ways back bend above the upper row and below the lower one.
fn arrow(picture: &mut Picture, from: usize, to: usize, event: Event, label: &str) {
    let ((x, y), (to_x, to_y)) = (PLACES[from], PLACES[to]);
    let upper = from < 3;
    if event == Event::BadKernel || (event == Event::Restart && y == to_y && from.abs_diff(to) == 2)
    {
        let (edge, bend) = match (upper, event) {
            (true, Event::BadKernel) => (y, 22.0),
            (true, _) => (y, 50.0),
            (false, Event::BadKernel) => (y + BOX.1, -22.0),
            (false, _) => (y + BOX.1, -50.0),
        };
        let shift = if event == Event::BadKernel {
            40.0
        } else {
            -20.0
        };
        let (start, end) = (
            x + BOX.0 / 2.0,
            to_x + BOX.0 / 2.0 + if upper { shift } else { -shift },
        );
        let level = edge - bend;
        picture.path("back", &format!("M{start} {edge} V{level} H{end} V{edge}"));
        let middle = (start + end) / 2.0;
        picture.text(
            middle,
            level - 5.0,
            "text-anchor=\"middle\" font-size=\"12\"",
            label,
        );
        return;
    }
    let (half, whole) = (BOX.1 / 2.0, BOX.0);
    if y == to_y {
        let (start, end) = if to_x > x {
            (x + whole, to_x)
        } else {
            (x, to_x + whole)
        };
        picture.path("line", &format!("M{start} {} H{end}", y + half));
        let middle = (start + end) / 2.0;
        for (line, word) in label.splitn(2, ' ').enumerate() {
            let level = y + half - 10.0 + 26.0 * line as f64;
            picture.text(
                middle,
                level,
                "text-anchor=\"middle\" font-size=\"12\"",
                word,
            );
        }
    } else {
        let (start, end) = if to_y > y {
            (y + BOX.1, to_y)
        } else {
            (y, to_y + BOX.1)
        };
        let middle = x + whole / 2.0;
        picture.path("line", &format!("M{middle} {start} V{end}"));
        picture.text(
            middle + 8.0,
            (start + end) / 2.0 + 4.0,
            "font-size=\"12\"",
            label,
        );
    }
}

#[test]
fn the_states_of_an_update() {
    let machine = machine();
    // Around: from a committed slot by install, restart and commit to the other one, and back.
    let mut order = vec![FLASHED];
    for event in [Event::Install, Event::Restart, Event::Commit].repeat(2) {
        let next = order.last().unwrap().next(event);
        if next != FLASHED {
            order.push(next);
        }
    }
    assert_eq!(order.len(), PLACES.len());
    assert_eq!(
        machine.len(),
        PLACES.len(),
        "a state that the picture has no place for"
    );
    let at = |state: &State| order.iter().position(|one| one == state).expect("a place");
    let mut picture = Picture::new(920, 480);
    for (from, next) in &machine {
        for (event, to) in next {
            // A device without an update restarts as it was.
            if from != to {
                arrow(
                    &mut picture,
                    at(from),
                    at(to),
                    *event,
                    &words(*from, *event),
                );
            }
        }
    }
    for (one, place) in order.iter().zip(PLACES) {
        state(&mut picture, place, *one);
    }
    held("states.svg", &picture);
}

/// The state that a device is in after a power cut: the write number `writes` of `event` leaves
/// `cut`, and the device starts again. `None` if there is no such write.
fn after_a_cut(from: State, event: Event, writes: usize, cut: Cut) -> Option<State> {
    let mut environment = BlockPair::new([EnvCopy::clean(from.values); 2]);
    environment.power.fails_after = Some((writes, cut));
    let failed = match event {
        Event::Install => environment
            .set(Values::pending(from.running.other()))
            .is_err(),
        Event::Commit => environment.set(Values::committed(from.running)).is_err(),
        Event::Restart | Event::BadKernel => environment.boot(|_| true).is_err(),
    };
    if !failed {
        return None;
    }
    environment.power = Power::default();
    let running = environment.boot(|_| true).unwrap()?;
    environment.finish(running).unwrap();
    let mut values = environment.believed()?;
    values.count &= values.upgrade;
    Some(State { values, running })
}

#[test]
fn after_a_power_cut_a_device_is_in_one_of_these_states() {
    let machine = machine();
    let mut cuts = 0;
    for (from, next) in &machine {
        for (event, _) in next {
            for (writes, cut) in (0..7).flat_map(|n| Cut::ALL.map(|cut| (n, cut))) {
                if let Some(found) = after_a_cut(*from, *event, writes, cut) {
                    assert!(
                        machine.contains_key(&found),
                        "{from:?} {event:?}: {found:?}"
                    );
                    cuts += 1;
                }
            }
        }
    }
    assert!(cuts > 100, "{cuts}");
}

/// The life of a device as `docs/concepts.md` tells it.
const LIFE: [(&str, Option<Event>); 8] = [
    ("flashed", None),
    ("install release 2", Some(Event::Install)),
    ("restart", Some(Event::Restart)),
    ("commit", Some(Event::Commit)),
    ("install release 3", Some(Event::Install)),
    ("restart", Some(Event::Restart)),
    ("restart, no commit", Some(Event::Restart)),
    ("install release 4", Some(Event::Install)),
];

#[test]
fn the_life_of_a_device() {
    const COLUMN: f64 = 108.0;
    let mut picture = Picture::new(920, 232);
    for (row, name) in ["slot A", "slot B", "data"].into_iter().enumerate() {
        let level = 68.0 + 48.0 * row as f64;
        picture.text(8.0, level, "font-weight=\"bold\"", name);
    }
    let mut state = FLASHED;
    let mut slots = [1, 1];
    let mut newest = 1;
    for (column, (label, event)) in LIFE.into_iter().enumerate() {
        if let Some(event) = event {
            if event == Event::Install {
                newest += 1;
                slots[state.running.other() as usize] = newest;
            }
            state = state.next(event);
        }
        let x = 58.0 + COLUMN * column as f64;
        picture.text(x, 22.0, "font-size=\"12\"", label);
        for (row, slot) in [Slot::A, Slot::B].into_iter().enumerate() {
            let y = 42.0 + 48.0 * row as f64;
            let runs = slot == state.running;
            picture.rectangle(if runs { "run" } else { "slot" }, x, y, COLUMN - 12.0, 40.0);
            let class = if runs { "class=\"run-text\"" } else { "" };
            let words = format!("release {}", slots[row]);
            picture.text(x + 8.0, y + 17.0, class, &words);
            let pending = state.values.upgrade && slot == state.values.part;
            let said = match (runs, pending) {
                (true, true) => "runs, on trial",
                (true, false) => "runs",
                (false, true) => "starts next",
                (false, false) => "",
            };
            picture.text(
                x + 8.0,
                y + 33.0,
                &format!("{class} font-size=\"11\""),
                said,
            );
        }
    }
    picture.rectangle("data", 58.0, 138.0, COLUMN * 8.0 - 12.0, 40.0);
    let words = "the same files all the time: no update touches them";
    picture.text(66.0, 163.0, "class=\"on-data\"", words);
    let words = "Coloured: the root filesystem that runs. An update always goes to the other one.";
    picture.text(58.0, 210.0, "class=\"soft\"", words);
    held("life.svg", &picture);
}

#[test]
fn the_disk_before_and_after() {
    let Some(python) = tool("python3") else {
        return;
    };
    let [program, plan] =
        ["disk.py", "disk.json"].map(|name| top().join("scripts/docs").join(name));
    held_text("disk.svg", &must(python, &[&program, &plan]));
}

/// The numbers of MiB in a line of the plan.
fn mib(line: &str) -> Vec<f64> {
    let words: Vec<&str> = line
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let sizes = words.windows(2).filter(|pair| pair[1] == "MiB");
    sizes.map(|pair| pair[0].parse().unwrap()).collect()
}

#[test]
fn a_slot_its_filesystem_and_its_files_to_scale() {
    let page = fs::read_to_string(top().join("docs/converting.md")).unwrap();
    let line = |words: &str| {
        let line = page.lines().find(|line| line.contains(words));
        mib(line.unwrap_or_else(|| panic!("the plan has no line with `{words}`")))
    };
    let files = line(" MiB used: bin boot ")[1];
    let filesystem = line("The root filesystem takes ")[0];
    let slot = line("   root-a  ")[1];
    assert!(
        files < filesystem && filesystem < slot,
        "{files} {filesystem} {slot}"
    );
    let (left, width) = (20.0, 880.0);
    let mut picture = Picture::new(920, 190);
    let x = |size: f64| left + size / slot * width;
    picture.rectangle("box", left, 40.0, width, 60.0);
    picture.rectangle("fs", left, 40.0, x(filesystem) - left, 60.0);
    picture.rectangle("used", left, 40.0, x(files) - left, 60.0);
    picture.text(
        left,
        26.0,
        "font-weight=\"bold\"",
        &format!("One slot: {slot} MiB"),
    );
    let rows = [
        ("used", format!("files: {files} MiB of the golden image")),
        (
            "fs",
            format!(
                "filesystem: {filesystem} MiB; what an Artifact holds, and what an update writes"
            ),
        ),
        (
            "box",
            "the rest of the slot: room for the filesystems of later releases".to_owned(),
        ),
    ];
    for (row, (class, words)) in rows.into_iter().enumerate() {
        let y = 122.0 + 24.0 * row as f64;
        picture.rectangle(class, left, y - 12.0, 16.0, 16.0);
        picture.text(left + 26.0, y + 1.0, "", &words);
    }
    held("slot.svg", &picture);
}
