//! The environment as U-Boot keeps it: each copy has a checksum, which shows whether it is
//! complete, and a serial number, which shows which of two is newer. A single write to the copy
//! that is not believed stores new values, so no write can damage the only good copy.

use super::model::{Environment, Writer};
use super::power::{Cut, Power, PowerCut};
use super::values::{Slot, Values};

/// A copy whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialCopy {
    /// The serial number, modulo 256.
    pub serial: u8,
    /// The values; `None` when they are out of range.
    pub values: Option<Values>,
}

impl SerialCopy {
    /// A copy with values in range.
    #[must_use]
    pub fn good(serial: u8, values: Values) -> Self {
        Self {
            serial,
            values: Some(values),
        }
    }
}

/// Both copies, on a medium that can lose power. `None` is one whose checksum is wrong, or that is
/// not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialPair {
    /// Copy 1 and copy 2.
    pub copies: [Option<SerialCopy>; 2],
    /// The power supply and the write protection.
    pub power: Power,
}

impl SerialPair {
    /// A medium on steady power.
    #[must_use]
    pub fn new(copies: [Option<SerialCopy>; 2]) -> Self {
        Self {
            copies,
            power: Power::default(),
        }
    }

    /// The copy that the next reader believes: the newer of two good ones.
    #[must_use]
    pub fn newest(&self) -> Option<usize> {
        let good = |copy: &Option<SerialCopy>| {
            copy.filter(|copy| copy.values.is_some())
                .map(|copy| copy.serial)
        };
        match [good(&self.copies[0]), good(&self.copies[1])] {
            [Some(first), Some(second)] => Some(usize::from(is_newer(second, first))),
            [Some(_), None] => Some(0),
            [None, Some(_)] => Some(1),
            [None, None] => None,
        }
    }

    fn write(&mut self, copy: usize, new: SerialCopy) -> Result<(), PowerCut> {
        if self.power.read_only {
            return Ok(());
        }
        match self.power.next_write() {
            None => self.copies[copy] = Some(new),
            Some(cut) => {
                match cut {
                    Cut::Before => {}
                    Cut::Blank | Cut::Missing => self.copies[copy] = None,
                    Cut::After => self.copies[copy] = Some(new),
                }
                return Err(PowerCut);
            }
        }
        Ok(())
    }
}

/// Whether a serial number is later than another, by fewer than 128 writes.
#[must_use]
pub fn is_newer(serial: u8, than: u8) -> bool {
    (1..0x80).contains(&serial.wrapping_sub(than))
}

impl Environment for SerialPair {
    fn believed(&self) -> Option<Values> {
        self.copies[self.newest()?]?.values
    }

    fn has_values(&self) -> bool {
        self.newest().is_some()
    }

    /// Both copies are good; one is older.
    fn is_intact(&self) -> bool {
        self.copies
            .iter()
            .all(|copy| copy.is_some_and(|copy| copy.values.is_some()))
    }

    /// The loader leaves a bad copy to its next write, which goes there; the system repairs it
    /// at once.
    fn repair(&mut self, writer: Writer, default: Slot) -> Result<Values, PowerCut> {
        let Some(truth) = self.believed() else {
            let truth = Values::committed(default);
            self.write(0, SerialCopy::good(0, truth))?;
            self.write(1, SerialCopy::good(1, truth))?;
            return Ok(truth);
        };
        if writer == Writer::System && !self.is_intact() {
            self.store(writer, truth)?;
        }
        Ok(truth)
    }

    fn store(&mut self, _: Writer, values: Values) -> Result<bool, PowerCut> {
        let newest = self.newest();
        let serial = newest
            .and_then(|copy| self.copies[copy])
            .map_or(0, |copy| copy.serial.wrapping_add(1));
        self.write(
            newest.map_or(0, |copy| 1 - copy),
            SerialCopy::good(serial, values),
        )?;
        Ok(self.believed() == Some(values))
    }

    fn power(&mut self) -> &mut Power {
        &mut self.power
    }
}
