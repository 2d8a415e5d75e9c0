//! Settings that are not safe outside `holdfast dev`. What is set where the doctor runs may differ from what ingresses run
//! with: it can only speak of its own.

use holdfast_common::settings::Secret;

use super::Options;
use super::finding::Finding;

/// A secret that is shorter can be guessed.
const SECRET_CHARS_MIN: usize = 16;

pub(super) fn look(options: &Options) -> Vec<Finding> {
    let ingress = &options.ingress;
    if let Err(error) = ingress.refuse_dev_secrets() {
        return vec![Finding::problem("secrets", "a secret that everybody knows", error.to_string())];
    }
    let secrets = [("ADMIN_TOKEN", &ingress.admin_token), ("WEBHOOK_SECRETS", &ingress.webhook_secrets)];
    secrets.into_iter().map(|(name, secret)| judge(name, secret.as_ref())).collect()
}

fn judge(name: &'static str, secret: Option<&Secret>) -> Finding {
    let shortest = |secret: &Secret| secret.expose().split(',').map(|one| one.trim().len()).min().unwrap_or(0);
    match secret.map(shortest) {
        None => Finding::ok(name, "not set where the doctor runs"),
        Some(length) if length < SECRET_CHARS_MIN => {
            let advice = format!("set one of {SECRET_CHARS_MIN} characters or more, drawn at random");
            Finding::problem(name, format!("only {length} characters"), advice)
        }
        Some(_) => Finding::ok(name, "set"),
    }
}
