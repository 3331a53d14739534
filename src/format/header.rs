//! The map's own header record: magic, format, counters.

use xxhash_rust::xxh3::xxh3_64;

use crate::coord::collection::Phase;

/// The key of the header record in the store's unnamed table.
pub(crate) const HEADER_KEY: &[u8] = b"\0oocmap";

const MAGIC: [u8; 8] = *b"oocmap\x1a\n";
const LENGTH: usize = 88;
const CHECKED: usize = 80;

/// The newest format that this build reads, and the one that it writes.
pub(crate) const FORMAT: u16 = 1;

fn phase_from_number(number: u8) -> Option<Phase> {
    [Phase::Idle, Phase::Marking, Phase::Sweeping].into_iter().find(|phase| *phase as u8 == number)
}

/// The counters that every committed version carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Grows by one with every commit that changed something.
    pub(crate) version: u64,
    /// The id that the next record gets; ids are never used twice.
    pub(crate) next_record: u64,
    /// How many symbols there are, which is also the next symbol's id.
    pub(crate) symbols: u32,
    /// Tells maps apart that were made at different times at one path.
    pub(crate) identity: [u8; 16],
    /// How many entries and elements were deleted or replaced that no vacuum has looked for yet.
    pub(crate) removals: u64,
    /// After how many of those a vacuum begins by itself; zero for never.
    pub(crate) threshold: u64,
    /// How far a vacuum has come.
    pub(crate) phase: Phase,
}

impl Header {
    /// The header of a map that holds nothing.
    pub(crate) fn new(identity: [u8; 16]) -> Self {
        Self {
            version: 0,
            next_record: 1,
            symbols: 0,
            identity,
            removals: 0,
            threshold: 0,
            phase: Phase::Idle,
        }
    }

    /// Whether so much was deleted that a vacuum begins by itself.
    pub(crate) fn is_vacuum_due(&self) -> bool {
        self.threshold > 0 && self.removals >= self.threshold
    }

    /// The record's bytes; `docs/file-format.md` has the table.
    pub(crate) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.symbols.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.version.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_record.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.identity);
        bytes[48..56].copy_from_slice(&self.removals.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.threshold.to_le_bytes());
        bytes[64] = self.phase as u8;
        let checksum = xxh3_64(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header record.
    ///
    /// # Errors
    ///
    /// Why it is none that this build understands, as text.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(..8) != Some(&MAGIC) {
            return Err("not an oocmap file".into());
        }
        let format = array(bytes, 8).map(u16::from_le_bytes).unwrap_or_default();
        if format != FORMAT {
            return Err(format!(
                "the file has format {format}, this version of oocmap reads format {FORMAT}; install a newer oocmap"
            ));
        }
        let phase = bytes.get(64).copied().and_then(phase_from_number);
        if phase.is_none()
            || [10, 11].into_iter().chain(65..CHECKED).any(|at| bytes.get(at).is_some_and(|byte| *byte != 0))
        {
            return Err("the file uses something that came later; install a newer oocmap".into());
        }
        let whole = || "the header record is damaged".to_owned();
        let checksum = array(bytes, CHECKED).map(u64::from_le_bytes).ok_or_else(whole)?;
        if bytes.len() != LENGTH || xxh3_64(&bytes[..CHECKED]) != checksum {
            return Err(whole());
        }
        Ok(Self {
            symbols: array(bytes, 12).map(u32::from_le_bytes).ok_or_else(whole)?,
            version: array(bytes, 16).map(u64::from_le_bytes).ok_or_else(whole)?,
            next_record: array(bytes, 24).map(u64::from_le_bytes).ok_or_else(whole)?,
            identity: array(bytes, 32).ok_or_else(whole)?,
            removals: array(bytes, 48).map(u64::from_le_bytes).ok_or_else(whole)?,
            threshold: array(bytes, 56).map(u64::from_le_bytes).ok_or_else(whole)?,
            phase: phase.ok_or_else(whole)?,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    #[test]
    fn a_header_reads_back_and_damage_is_seen() {
        let header = Header {
            version: 7,
            next_record: 9,
            symbols: 3,
            identity: *b"0123456789abcdef",
            removals: 5,
            threshold: 1000,
            phase: Phase::Sweeping,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..LENGTH {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(Header::decode(&damaged).is_err(), "byte {at}");
        }
        assert!(Header::decode(&bytes[..60]).is_err());
    }

    #[test]
    fn golden_bytes() {
        let header = Header { version: 2, symbols: 5, removals: 3, ..Header::new([7; 16]) };
        let header = Header { threshold: 256, phase: Phase::Marking, ..header };
        let hex = format!("{:x}", BigUint::from_bytes_be(&header.encode()));
        assert!(hex.starts_with(
            "6f6f636d61701a0a0100000005000000020000000000000001000000000000000707070707070707070707070707\
             0707030000000000000000010000000000000100000000000000"
        ));
    }
}
