//! The names that this process stores again and again, by numbers of its own.

use rustc_hash::FxHashMap;

use super::builder::SYMBOL_LENGTH;
use crate::sync::{Mutex, OnceLock};

/// How many names can be known; they are never forgotten.
const MOST: usize = 1 << 14;

/// The texts by number. Reading one takes no lock, which a fork could find taken for ever.
static TEXTS: [OnceLock<Box<str>>; MOST] = [const { OnceLock::new() }; MOST];
static NUMBERS: Mutex<Option<FxHashMap<&'static str, u32>>> = Mutex::new(None);

/// A short text that many dicts have as a key, known to this process.
///
/// A builder that is told a name by [`ValueBuilder::known_name`](super::builder::ValueBuilder::known_name) copies and
/// compares no text. Names mean the same in all maps, are never forgotten, and are therefore limited in number: they are
/// for keys that were met more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(u32);

impl Name {
    /// The name of a text; `None` for long ones, and when so many are known that there is no room for another one.
    ///
    /// # Examples
    ///
    /// ```
    /// use oocmap::Name;
    ///
    /// let name = Name::of("title").expect("it is short");
    /// assert_eq!(name.text(), "title");
    /// assert_eq!(Name::of("title"), Some(name));
    /// assert_eq!(Name::of(&"title".repeat(100)), None);
    /// ```
    pub fn of(text: &str) -> Option<Self> {
        if text.len() > SYMBOL_LENGTH {
            return None;
        }
        // It is no harm when another thread is just here, or was when this process was forked: names are a shortcut.
        let mut numbers = NUMBERS.try_lock()?;
        let numbers = numbers.get_or_insert_default();
        if let Some(number) = numbers.get(text) {
            return Some(Self(*number));
        }
        let number = numbers.len();
        let kept = TEXTS.get(number)?.get_or_init(|| text.into());
        numbers.insert(kept, number as u32);
        Some(Self(number as u32))
    }

    /// The text.
    #[inline]
    pub fn text(self) -> &'static str {
        TEXTS[self.0 as usize].get().map_or("", |text| text)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn of_number(number: u32) -> Self {
        Self(number)
    }
}

/// The name of a short text, for tests, of which several may ask at the same moment.
#[cfg(test)]
pub(crate) fn known(text: &str) -> Name {
    loop {
        if let Some(name) = Name::of(text) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_name_in_all_threads() {
        let first = known("a name of this test");
        let again = std::thread::spawn(|| known("a name of this test")).join().unwrap();
        assert_eq!((again, again.text()), (first, "a name of this test"));
        assert_eq!(Name::of(&"x".repeat(SYMBOL_LENGTH + 1)), None);
        let empty = known("");
        assert_eq!(empty.text(), "");
        assert_ne!(empty, first);
    }
}
