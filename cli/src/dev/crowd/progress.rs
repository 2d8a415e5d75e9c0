//! The counts of a crowd, as the store's page shows them. They count only responses that buyers received.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// The counts of one crowd. Each buyer is refused, failed, or has a hold that ends paid or released.
#[derive(Clone, Default, Serialize)]
pub(super) struct Progress {
    pub(super) product_id: i64,
    pub(super) units: i64,
    pub(super) buyers: u64,
    pub(super) arrived: u64,
    /// Buyers whose request for a hold has no final response yet.
    pub(super) in_line: u64,
    pub(super) holds: u64,
    pub(super) paid: u64,
    pub(super) released: u64,
    /// Refused buyers by problem code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Buyers without an outcome, and buyers whose payment or release failed.
    pub(super) failed: u64,
    pub(super) is_done: bool,
    /// The buyers with a hold, in the order of the holds' sequences.
    pub(super) winners: Vec<Winner>,
}

#[derive(Clone, Serialize)]
pub(super) struct Winner {
    pub(super) sequence: i64,
    pub(super) buyer: u64,
    pub(super) hold_id: String,
    pub(super) created_at: String,
    /// `holds`, then `paid`, `released` or `failed`.
    pub(super) end: &'static str,
}

/// The running crowd, or the last one.
#[derive(Default)]
pub(super) struct CrowdProgress(Mutex<Option<Progress>>);

impl CrowdProgress {
    pub(super) fn get(&self) -> Option<Progress> {
        let mut progress = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        progress.winners.sort_by_key(|winner| winner.sequence);
        Some(progress)
    }

    /// Replaces the last crowd. Returns false when it is still running.
    pub(super) fn start(&self, buyers: u64, units: i64) -> bool {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.as_ref().is_some_and(|progress| !progress.is_done) {
            return false;
        }
        *progress = Some(Progress {
            buyers,
            units,
            ..Progress::default()
        });
        true
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            change(progress);
        }
    }
}
