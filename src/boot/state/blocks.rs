//! The environment as GRUB keeps it: each copy is two blocks, `lock` and `env`.

use super::model::{Environment, Writer};
use super::power::{Cut, Power, PowerCut};
use super::values::{Slot, Values};

/// A block of 1024 bytes on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block<T> {
    /// An environment block with this value.
    Valid(T),
    /// An environment block without usable values; the loader can write to it.
    Blank,
    /// Not an environment block, or no file; only the running system can write to it.
    Missing,
}

/// One copy of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvCopy {
    /// Whether someone is editing this copy.
    pub lock: Block<bool>,
    /// The values of this copy.
    pub env: Block<Values>,
}

impl EnvCopy {
    /// A copy at rest.
    #[must_use]
    pub fn clean(values: Values) -> Self {
        Self {
            lock: Block::Valid(false),
            env: Block::Valid(values),
        }
    }

    /// The values, when they are in range, whatever the lock says.
    #[must_use]
    pub fn sane(self) -> Option<Values> {
        match self.env {
            Block::Valid(values) => Some(values),
            Block::Blank | Block::Missing => None,
        }
    }

    /// The values of a copy that can be believed.
    #[must_use]
    pub fn good(self) -> Option<Values> {
        self.sane().filter(|_| self.lock == Block::Valid(false))
    }
}

/// The content that a write of `new` over `old` leaves after this cut.
fn remainder<T>(cut: Cut, old: Block<T>, new: T) -> Block<T> {
    match cut {
        Cut::Before => old,
        Cut::Blank => Block::Blank,
        Cut::Missing => Block::Missing,
        Cut::After => Block::Valid(new),
    }
}

/// Both copies as GRUB keeps them, on a medium that can lose power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPair {
    /// Copy 1 and copy 2.
    pub copies: [EnvCopy; 2],
    /// The power supply and the write protection.
    pub power: Power,
}

impl BlockPair {
    /// A medium on steady power.
    #[must_use]
    pub fn new(copies: [EnvCopy; 2]) -> Self {
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

    fn write<T: Copy + PartialEq>(
        &mut self,
        writer: Writer,
        block: impl Fn(&mut [EnvCopy; 2]) -> &mut Block<T>,
        new: T,
    ) -> Result<bool, PowerCut> {
        let old = *block(&mut self.copies);
        if self.power.read_only || (writer == Writer::Loader && old == Block::Missing) {
            return Ok(false);
        }
        let cut = self.power.next_write();
        *block(&mut self.copies) = remainder(cut.unwrap_or(Cut::After), old, new);
        if cut.is_some() {
            Err(PowerCut)
        } else {
            Ok(true)
        }
    }
}

impl Environment for BlockPair {
    /// Copy 1 when it is good, else copy 2.
    fn believed(&self) -> Option<Values> {
        self.copies.iter().find_map(|copy| copy.good())
    }

    fn has_values(&self) -> bool {
        self.copies.iter().any(|copy| copy.sane().is_some())
    }

    /// Both copies are good and say the same.
    fn is_intact(&self) -> bool {
        self.believed().is_some() && self.copies[0].good() == self.copies[1].good()
    }

    fn repair(&mut self, writer: Writer, default: Slot) -> Result<Values, PowerCut> {
        let sane = self.copies.iter().find_map(|copy| copy.sane());
        let truth = self
            .believed()
            .or(sane)
            .unwrap_or(Values::committed(default));
        for copy in [1, 0] {
            if self.copies[copy].good() != Some(truth) {
                self.write_copy(writer, copy, truth)?;
            }
        }
        Ok(truth)
    }

    /// Copy 2, and copy 1 only when that went well.
    fn store(&mut self, writer: Writer, values: Values) -> Result<bool, PowerCut> {
        if !self.is_intact() && self.believed().is_some() {
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
