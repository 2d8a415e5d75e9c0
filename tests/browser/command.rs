//! Commands of chromedriver that the WebDriver standard does not have.

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::Method;
use serde_json::{Value, json};

/// A command of chromedriver: its path below the session, and its parameters.
#[derive(Debug)]
pub(crate) struct Chrome(pub(crate) &'static str, pub(crate) Value);

impl Chrome {
    /// A command of the DevTools protocol.
    pub(crate) fn devtools(name: &str, parameters: Value) -> Self {
        Self(
            "goog/cdp/execute",
            json!({"cmd": name, "params": parameters}),
        )
    }

    /// Reads and clears the browser's console, with errors of the network and reports of the content security policy.
    pub(crate) fn log() -> Self {
        Self("se/log", json!({"type": "browser"}))
    }
}

impl WebDriverCompatibleCommand for Chrome {
    fn endpoint(
        &self,
        base: &reqwest::Url,
        session: Option<&str>,
    ) -> Result<reqwest::Url, UrlError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &reqwest::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

type UrlError = <reqwest::Url as std::str::FromStr>::Err;

/// Sends a command.
///
/// # Errors
/// When chromedriver refuses.
pub(crate) async fn send(client: &fantoccini::Client, command: Chrome) -> Result<Value, CmdError> {
    client.issue_cmd(command).await
}
