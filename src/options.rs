//! How an environment is opened.

use std::time::Duration;

/// Options for [`Environment::open`](crate::Environment::open).
///
/// # Examples
///
/// ```
/// let options = oocmap::Options { create: false, ..oocmap::Options::default() };
/// assert!(!options.readonly);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Refuse every modification; works on files that can't be written.
    pub readonly: bool,
    /// Make the file when it is missing.
    pub create: bool,
    /// The largest size of the data file, in bytes; `None` for as large as the disk.
    pub max_size: Option<u64>,
    /// How long to wait for another writer; `None` for ever.
    pub lock_timeout: Option<Duration>,
    /// What a commit waits for.
    pub durability: Durability,
    /// How long writes wait for their commit with [`Durability::Deferred`].
    pub flush_interval: Duration,
    /// How many bytes a reader may keep from being used again before [`Environment::held_back`] tells of it.
    ///
    /// [`Environment::held_back`]: crate::Environment::held_back
    pub held_back_limit: Option<u64>,
}

/// What a commit waits for before it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Until it would survive a power cut.
    #[default]
    Sync,
    /// Until all but its last step would: a power cut may lose the last commit, and nothing else.
    NoMetaSync,
    /// Single writes of this process are gathered, and committed together soon, as with [`Durability::Sync`]. This process
    /// sees them at once. A crash loses what waits; never a part of one write. Transactions are committed when they end.
    Deferred,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readonly: false,
            create: true,
            max_size: None,
            lock_timeout: None,
            durability: Durability::Sync,
            flush_interval: Duration::from_millis(50),
            held_back_limit: Some(1 << 30),
        }
    }
}
