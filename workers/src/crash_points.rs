//! Points of the batch cycle at which a test can have the process die, as a power cut would.
//!
//! Only in debug builds, and only when `HOLDFAST_CRASH_AT` names a point, such as `write` or `write:3` for the third
//! time that it is passed.

/// Ends the process at once, if it is to die here.
#[cfg(debug_assertions)]
pub(crate) fn pass(point: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("HOLDFAST_CRASH_AT").ok()?;
        let (name, time) = asked.split_once(':').unwrap_or((&asked, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    });
    if let Some((name, time)) = asked
        && name == point
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *time
    {
        eprintln!("crash point {point}");
        std::process::abort();
    }
}

/// Nothing, outside of tests.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_point: &str) {}
