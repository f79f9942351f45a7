//! The state machine of an A/B update, as a model: the redundant environment, those who write it,
//! and the power that may fail between and within any two writes. The loaders' scripts and the
//! environment tools implement it; their tests compare them to it.
//!
//! The rows of the table are [`Environment::boot`], the same for every loader:
//!
//! | # | condition | action, in this order | starts |
//! | --- | --- | --- | --- |
//! | 1 | no copy is good | take a copy whose values are in range, else slot A without an update; try to write both copies | by 3-5 |
//! | 2 | one good copy, or two that differ | believe it, or the one of two that counts; mend the other where that is a rewrite | by 3-5 |
//! | 3 | no update pending | write nothing | the slot named |
//! | 4 | update pending, not tried | note the trial | the slot named if the note can be read back, else the other |
//! | 5 | update pending, tried | name the other slot, nothing pending | the other slot |
//! | 6 | a value out of range | the copy is not good: 1, 2 | |
//! | 7 | the chosen slot does not load | load the other, then name it, nothing pending | the other slot |
//! | 8 | neither loads | write nothing, wait, start over | - |
//!
//! One rule stands above the table: **the only good copy is never written to.** Who cannot make the
//! other copy good first leaves the environment alone; what could not be written is written by the
//! running system ([`Environment::finish`]). So one write that the power cuts can never take the
//! last good copy, however often that happens.
//!
//! How the environment is kept is the loader's own way, of which there are two, each twice on the
//! medium:
//!
//! - [`Medium`], for GRUB: each copy is two blocks; `lock` says whether the copy is being edited,
//!   `env` holds the values. A writer changes copy 2, then copy 1, each as *lock, values, unlock*.
//! - [`serial::Pair`], for U-Boot: each copy has a serial number and a checksum. A writer changes
//!   the copy that is not believed.

pub mod serial;

/// One of the two root filesystems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The three values that decide what starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values {
    /// `mender_boot_part`: the slot to start.
    pub part: Slot,
    /// `upgrade_available`: that slot holds an update which nobody committed yet.
    pub upgrade: bool,
    /// `bootcount`: it was started once. Means nothing without `upgrade`.
    pub count: bool,
}

impl Values {
    /// `part` is the system and no update is pending.
    #[must_use]
    pub fn settled(part: Slot) -> Self {
        Self {
            part,
            upgrade: false,
            count: false,
        }
    }

    /// `part` was just written and shall be tried.
    #[must_use]
    pub fn pending(part: Slot) -> Self {
        Self {
            part,
            upgrade: true,
            count: false,
        }
    }
}

/// A block of 1024 bytes on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block<T> {
    /// Holds this.
    Whole(T),
    /// Is an environment block without usable values; the loader can write to it.
    Void,
    /// Is no environment block, or missing; only the running system can write to it.
    Torn,
}

/// One copy of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// Whether someone is editing this copy.
    pub lock: Block<bool>,
    /// The values.
    pub env: Block<Values>,
}

impl Copy {
    /// A copy at rest.
    #[must_use]
    pub fn clean(values: Values) -> Self {
        Self {
            lock: Block::Whole(false),
            env: Block::Whole(values),
        }
    }

    /// The values, when they are in range, whatever the lock says.
    #[must_use]
    pub fn sane(self) -> Option<Values> {
        match self.env {
            Block::Whole(values) => Some(values),
            Block::Void | Block::Torn => None,
        }
    }

    /// The values of a copy that can be believed.
    #[must_use]
    pub fn good(self) -> Option<Values> {
        self.sane().filter(|_| self.lock == Block::Whole(false))
    }
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The boot loader: it cannot write to a block that is none.
    Loader,
    /// The environment tools of the running system.
    System,
}

/// What is left of a write when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The old content.
    Before,
    /// A block without usable values.
    Void,
    /// No block.
    Torn,
    /// The new content.
    After,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Before, Self::Void, Self::Torn, Self::After];

    fn leaves<T>(self, old: Block<T>, new: T) -> Block<T> {
        match self {
            Self::Before => old,
            Self::Void => Block::Void,
            Self::Torn => Block::Torn,
            Self::After => Block::Whole(new),
        }
    }
}

/// The power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut;

/// What may happen to the medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Drops every write and says that it failed.
    pub read_only: bool,
    /// How many writes still succeed, and what is left of the one after.
    pub fuse: Option<(usize, Cut)>,
    /// How many writes were made.
    pub writes: usize,
}

impl Power {
    /// One write: `None` when it goes through, else what is left of it.
    fn draw(&mut self) -> Option<Cut> {
        self.writes += 1;
        match &mut self.fuse {
            None => None,
            Some((0, cut)) => Some(*cut),
            Some((left, _)) => {
                *left -= 1;
                None
            }
        }
    }
}

/// The redundant environment of a loader, and what loader, system and client do with it.
pub trait Environment {
    /// What the next reader takes for the truth.
    fn believed(&self) -> Option<Values>;

    /// Whether any copy says something that could be true.
    fn known(&self) -> bool;

    /// Whether both copies are as a writer leaves them.
    fn whole(&self) -> bool;

    /// Rows 1 and 2: finds the truth, or `default`, and mends the copies where `writer` can and
    /// should.
    ///
    /// # Errors
    /// [`PowerCut`] when the fuse blew.
    fn settle(&mut self, writer: Writer, default: Slot) -> Result<Values, PowerCut>;

    /// Writes; true when the next reader will see `values`. Leaves the only good copy alone.
    ///
    /// # Errors
    /// [`PowerCut`] when the fuse blew.
    fn store(&mut self, writer: Writer, values: Values) -> Result<bool, PowerCut>;

    /// What may happen to the medium.
    fn power(&mut self) -> &mut Power;

    /// The loader's part of a start: rows 1 to 8. `loads` says whether a slot's kernel can be
    /// loaded. Returns what was started.
    ///
    /// # Errors
    /// [`PowerCut`] when the fuse blew.
    fn boot(&mut self, loads: impl Fn(Slot) -> bool) -> Result<Option<Slot>, PowerCut> {
        let values = self.settle(Writer::Loader, Slot::A)?;
        let back = Values::settled(values.part.other());
        let first = match (values.upgrade, values.count) {
            (false, _) => values.part,
            (true, false)
                if self.store(
                    Writer::Loader,
                    Values {
                        count: true,
                        ..values
                    },
                )? =>
            {
                values.part
            }
            (true, false) => back.part,
            (true, true) => {
                self.store(Writer::Loader, back)?;
                back.part
            }
        };
        let second = first.other();
        if loads(first) {
            return Ok(Some(first));
        }
        if !loads(second) {
            return Ok(None);
        }
        self.store(Writer::Loader, Values::settled(second))?;
        Ok(Some(second))
    }

    /// The running system's part of a start, before the update client runs: repairs the copies, and
    /// writes what the loader could not. The loader tells the system which slot it started.
    ///
    /// # Errors
    /// [`PowerCut`] when the fuse blew.
    fn finish(&mut self, running: Slot) -> Result<(), PowerCut> {
        let values = self.settle(Writer::System, running)?;
        if values.part != running {
            self.store(Writer::System, Values::settled(running))?;
        }
        Ok(())
    }

    /// The update client's `set`: true when the next reader will see `values`.
    ///
    /// # Errors
    /// [`PowerCut`] when the fuse blew.
    fn set(&mut self, values: Values) -> Result<bool, PowerCut> {
        if !self.known() {
            return Ok(false);
        }
        self.settle(Writer::System, Slot::A)?;
        self.store(Writer::System, values)
    }
}

/// Both copies as GRUB keeps them, on a medium that can lose power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Copy 1 and copy 2.
    pub copies: [Copy; 2],
    /// What may happen to it.
    pub power: Power,
}

impl Medium {
    /// A medium as it leaves the factory, or after a rest.
    #[must_use]
    pub fn new(copies: [Copy; 2]) -> Self {
        Self {
            copies,
            power: Power::default(),
        }
    }

    fn write_copy(&mut self, writer: Writer, copy: usize, values: Values) -> Result<(), PowerCut> {
        if self.write(writer, |copies| &mut copies[copy].lock, true)?
            && self.write(writer, |copies| &mut copies[copy].env, values)?
        {
            self.write(writer, |copies| &mut copies[copy].lock, false)?;
        }
        Ok(())
    }

    fn write<T: std::marker::Copy + PartialEq>(
        &mut self,
        writer: Writer,
        block: impl Fn(&mut [Copy; 2]) -> &mut Block<T>,
        new: T,
    ) -> Result<bool, PowerCut> {
        let old = *block(&mut self.copies);
        if self.power.read_only || (writer == Writer::Loader && old == Block::Torn) {
            return Ok(false);
        }
        let cut = self.power.draw();
        *block(&mut self.copies) = cut.unwrap_or(Cut::After).leaves(old, new);
        if cut.is_some() {
            Err(PowerCut)
        } else {
            Ok(true)
        }
    }
}

impl Environment for Medium {
    /// Copy 1 when it is good, else copy 2.
    fn believed(&self) -> Option<Values> {
        self.copies.iter().find_map(|copy| copy.good())
    }

    fn known(&self) -> bool {
        self.copies.iter().any(|copy| copy.sane().is_some())
    }

    /// Both copies are good and say the same.
    fn whole(&self) -> bool {
        self.believed().is_some() && self.copies[0].good() == self.copies[1].good()
    }

    fn settle(&mut self, writer: Writer, default: Slot) -> Result<Values, PowerCut> {
        let sane = self.copies.iter().find_map(|copy| copy.sane());
        let truth = self.believed().or(sane).unwrap_or(Values::settled(default));
        for copy in [1, 0] {
            if self.copies[copy].good() != Some(truth) {
                self.write_copy(writer, copy, truth)?;
            }
        }
        Ok(truth)
    }

    /// Copy 2, and copy 1 only when that went well.
    fn store(&mut self, writer: Writer, values: Values) -> Result<bool, PowerCut> {
        if !self.whole() && self.believed().is_some() {
            return Ok(false);
        }
        self.write_copy(writer, 1, values)?;
        if self.copies[1].good() == Some(values) {
            self.write_copy(writer, 0, values)?;
        }
        Ok(self.believed() == Some(values))
    }

    fn power(&mut self) -> &mut Power {
        &mut self.power
    }
}

#[cfg(test)]
mod tests;
