//! A few fixed seeds of the proving ground, short enough for every change.

use std::time::Duration;

use holdfast_chaos::{Options, run};

const LASTING: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn responses_stay_true_under_every_fault() {
    for seed in 1..=3 {
        let report = run(&Options::new(seed, LASTING)).await.unwrap();
        println!("{}", report.summary());
        assert!(report.findings.is_empty(), "{}", report.findings_text());
        assert!(report.done > 0, "nothing was done: {}", report.summary());
    }
}
