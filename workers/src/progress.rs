//! How far a worker has applied a partition.
//!
//! Each partition has one `Progress`, which its task owns. A batch gets a copy, and the next one comes from its commit.

use crate::next_due::NextDue;
use crate::store::lease::Lease;

/// The state of a partition in the memory of its worker.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The partition's row as this worker last read or wrote it. The fence compares the row with it (I6).
    pub lease: Lease,
    pub next_due: NextDue,
    /// Attempts that failed since the last commit.
    pub retries: u32,
}

impl From<Lease> for Progress {
    fn from(lease: Lease) -> Self {
        Self {
            lease,
            next_due: NextDue::Unknown,
            retries: 0,
        }
    }
}
