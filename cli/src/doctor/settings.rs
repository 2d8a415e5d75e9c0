//! Checks for settings that are not safe outside `holdfast dev`. It checks the doctor's own environment, which may differ from
//! the environments of ingresses and workers.

use holdfast_common::settings::{Secret, UnsafeSetting};

use super::Options;
use super::finding::Finding;

/// An attacker who has a signed message can find a shorter secret by trying.
const SECRET_CHARS_MIN: usize = 16;

pub(super) async fn check(options: &Options) -> Vec<Finding> {
    let Options {
        postgres,
        nats,
        ingress,
        worker,
        ..
    } = options;
    let mut unsafe_settings = ingress.unsafe_settings();
    unsafe_settings.extend(worker.unsafe_settings().await);
    unsafe_settings.extend(postgres.unsafe_settings().await);
    unsafe_settings.extend(nats.unsafe_settings().await);
    let secrets = [
        ("ADMIN_TOKEN", &ingress.admin_token),
        ("WEBHOOK_SECRETS", &ingress.webhook_secrets),
    ];
    let secrets = secrets
        .into_iter()
        .filter(|(name, _)| unsafe_settings.iter().all(|one| one.setting != *name));
    let secrets: Vec<_> = secrets
        .map(|(name, secret)| check_secret(name, secret.as_ref()))
        .collect();
    unsafe_settings
        .into_iter()
        .map(|one| unsafe_setting(options, &one))
        .chain(secrets)
        .collect()
}

/// Ingresses and workers refuse to start with an unsafe setting, unless `ALLOW_UNSAFE` accepts it.
fn unsafe_setting(options: &Options, found: &UnsafeSetting) -> Finding {
    match options.safety.accepts(found) {
        true => Finding::warning(
            found.setting,
            "not safe, but accepted by ALLOW_UNSAFE",
            found.to_string(),
        ),
        false => Finding::problem(found.setting, "not safe", found.to_string()),
    }
}

fn check_secret(name: &'static str, secret: Option<&Secret>) -> Finding {
    let shortest = |secret: &Secret| {
        secret
            .expose()
            .split(',')
            .map(|one| one.trim().len())
            .min()
            .unwrap_or(0)
    };
    match secret.map(shortest) {
        None => Finding::ok(name, "not set in the environment of the doctor"),
        Some(length) if length < SECRET_CHARS_MIN => {
            let advice = format!("set a random secret of at least {SECRET_CHARS_MIN} characters");
            Finding::problem(name, format!("only {length} characters"), advice)
        }
        Some(_) => Finding::ok(name, "set"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn the_shortest_secret_decides_and_no_secret_is_printed() {
        let level = |secrets: &str| {
            let finding = check_secret("WEBHOOK_SECRETS", Some(&Secret::from(secrets.to_owned())));
            assert!(
                !finding.found.contains("s3cret") && !finding.advice.contains("s3cret"),
                "{finding:?}"
            );
            finding.level
        };
        assert_eq!(level("s3cret-of-sixteen"), Level::Ok);
        assert_eq!(level("s3cret-of-15-ch"), Level::Problem);
        assert_eq!(level("s3cret-of-sixteen, s3cret"), Level::Problem);
        assert_eq!(check_secret("ADMIN_TOKEN", None).level, Level::Ok);
    }
}
