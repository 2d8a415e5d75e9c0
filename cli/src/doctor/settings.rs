//! Settings that are not safe outside `holdfast dev`. What is set where the doctor runs may differ from what ingresses and
//! workers run with: it can only speak of its own.

use holdfast_common::settings::{Secret, UnsafeSetting};

use super::Options;
use super::finding::Finding;

/// A secret that is shorter may be found by trying, by whoever has something that was signed with it.
const SECRET_CHARS_MIN: usize = 16;

pub(super) async fn look(options: &Options) -> Vec<Finding> {
    let Options {
        postgres,
        nats,
        ingress,
        worker,
        ..
    } = options;
    let mut found = ingress.unsafe_settings();
    found.extend(worker.unsafe_settings().await);
    found.extend(postgres.unsafe_settings().await);
    found.extend(nats.unsafe_settings().await);
    let secrets = [
        ("ADMIN_TOKEN", &ingress.admin_token),
        ("WEBHOOK_SECRETS", &ingress.webhook_secrets),
    ];
    let secrets = secrets
        .into_iter()
        .filter(|(name, _)| found.iter().all(|one| one.setting != *name));
    let secrets: Vec<_> = secrets
        .map(|(name, secret)| judge(name, secret.as_ref()))
        .collect();
    found
        .into_iter()
        .map(|one| refused(options, &one))
        .chain(secrets)
        .collect()
}

/// What ingresses and workers refuse to start with, unless it is accepted.
fn refused(options: &Options, found: &UnsafeSetting) -> Finding {
    match options.safety.accepts(found) {
        true => Finding::warning(
            found.setting,
            "not safe, and accepted by ALLOW_UNSAFE",
            found.to_string(),
        ),
        false => Finding::problem(found.setting, "not safe", found.to_string()),
    }
}

fn judge(name: &'static str, secret: Option<&Secret>) -> Finding {
    let shortest = |secret: &Secret| {
        secret
            .expose()
            .split(',')
            .map(|one| one.trim().len())
            .min()
            .unwrap_or(0)
    };
    match secret.map(shortest) {
        None => Finding::ok(name, "not set where the doctor runs"),
        Some(length) if length < SECRET_CHARS_MIN => {
            let advice =
                format!("set one of {SECRET_CHARS_MIN} characters or more, drawn at random");
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
    fn the_shortest_of_several_secrets_is_judged_and_none_is_told() {
        let level = |secrets: &str| {
            let finding = judge("WEBHOOK_SECRETS", Some(&Secret::from(secrets.to_owned())));
            assert!(
                !finding.found.contains("s3cret") && !finding.advice.contains("s3cret"),
                "{finding:?}"
            );
            finding.level
        };
        assert_eq!(level("s3cret-of-sixteen"), Level::Ok);
        assert_eq!(level("s3cret-of-15-ch"), Level::Problem);
        assert_eq!(level("s3cret-of-sixteen, s3cret"), Level::Problem);
        assert_eq!(judge("ADMIN_TOKEN", None).level, Level::Ok);
    }
}
