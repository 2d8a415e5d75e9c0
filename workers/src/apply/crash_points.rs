//! Points of the batch cycle at which a test can have the process die, as a power cut would.
//!
//! Only in debug builds, and only when `HOLDFAST_CRASH_AT` names a point, such as `write` or `write:3` for the third
//! time that it is passed.

/// Ends the process at once, if it is to die here.
pub(crate) fn pass(point: &str) {
    if is_here(point) {
        die(point);
    }
}

/// Does a step; if the process is to die in it, then once the step has begun and before its end is known.
pub(crate) async fn pass_during<S: Future>(point: &str, step: S) -> S::Output {
    let mut step = std::pin::pin!(step);
    if is_here(point) {
        let _ = futures_util::poll!(&mut step);
        die(point);
    }
    step.await
}

#[cfg(debug_assertions)]
fn is_here(point: &str) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("HOLDFAST_CRASH_AT").ok()?;
        let (name, time) = asked.split_once(':').unwrap_or((&asked, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    });
    asked.as_ref().is_some_and(|(name, time)| {
        name == point && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *time
    })
}

/// Nowhere, outside of tests.
#[cfg(not(debug_assertions))]
fn is_here(_point: &str) -> bool {
    false
}

fn die(point: &str) -> ! {
    eprintln!("crash point {point}");
    std::process::abort();
}
