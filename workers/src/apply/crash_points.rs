//! Points of the batch cycle at which a test can end the process, as a power cut would.
//!
//! Active only in debug builds, and only when `HOLDFAST_CRASH_AT` names a point: `write` for the first pass, `write:3`
//! for the third.

/// Ends the process if this is the chosen point.
pub(crate) fn pass(point: &str) {
    if is_chosen(point) {
        die(point);
    }
}

/// Runs a step. At the chosen point the process ends after the step has begun and before its result is known.
pub(crate) async fn pass_during<S: Future>(point: &str, step: S) -> S::Output {
    let mut step = std::pin::pin!(step);
    if is_chosen(point) {
        let _ = futures_util::poll!(&mut step);
        die(point);
    }
    step.await
}

#[cfg(debug_assertions)]
fn is_chosen(point: &str) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CHOSEN: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSES: AtomicU32 = AtomicU32::new(0);
    let chosen = CHOSEN.get_or_init(|| {
        let chosen = std::env::var("HOLDFAST_CRASH_AT").ok()?;
        let (name, pass) = chosen.split_once(':').unwrap_or((&chosen, "1"));
        Some((name.to_owned(), pass.parse().ok()?))
    });
    chosen.as_ref().is_some_and(|(name, pass)| {
        name == point && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == *pass
    })
}

#[cfg(not(debug_assertions))]
fn is_chosen(_point: &str) -> bool {
    false
}

fn die(point: &str) -> ! {
    eprintln!("crash point {point}");
    std::process::abort();
}
