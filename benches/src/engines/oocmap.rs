//! The engine.

use std::path::Path;

use oocmap::{
    Draft, EntryKey, Environment, KeyBytes, Options, Patience, Room, Scalar, Span, Stored, encode_int,
};

use super::{Engine, Failure};

pub(crate) struct Oocmap(Environment);

fn ordered(key: u64) -> Result<KeyBytes, Failure> {
    let mut ordered = KeyBytes::new();
    encode_int(i64::try_from(key)?, &mut ordered);
    Ok(ordered)
}

fn is_text(stored: Stored<'_>) -> Result<bool, Failure> {
    let Stored::Scalar(encoded) = stored else { return Ok(false) };
    Ok(matches!(Scalar::decode(encoded)?, Scalar::Str(text) if !text.is_empty()))
}

impl Engine for Oocmap {
    const NAME: &str = "oocmap";

    fn open(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(Environment::open(&directory.join("bench.ooc"), &Options::default())?))
    }

    fn load(&mut self, entries: &[(u64, String)]) -> Result<(), Failure> {
        let keys: Vec<EntryKey> = entries
            .iter()
            .map(|(key, _)| Ok(EntryKey::from_ordered(ordered(*key)?)?))
            .collect::<Result<_, Failure>>()?;
        self.0.update(Room::Unknown, &mut Patience::new(None), |scope| {
            for (key, (_, text)) in keys.iter().zip(entries) {
                scope.put(key, Draft::scalar(&Scalar::Str(text.as_str().into())))?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn get(&self, keys: &[u64]) -> Result<u64, Failure> {
        let mut found = 0;
        for key in keys {
            let read = self.0.current()?;
            if let Some(stored) = read.stored(&ordered(*key)?)? {
                found += u64::from(is_text(stored)?);
            }
        }
        Ok(found)
    }

    fn walk(&self) -> Result<u64, Failure> {
        let read = self.0.current()?;
        let mut scan = read.scan(Span::all(), false)?;
        let mut found = 0;
        while let Some(entry) = scan.next(&read)? {
            entry.key()?;
            found += u64::from(is_text(read.open(&entry)?)?);
        }
        Ok(found)
    }
}
