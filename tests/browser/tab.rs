//! Uses a page as a person does: by its texts. Every step waits for its element, with a deadline.

use fantoccini::{Client, Locator};
use holdfast_tests::until;
use serde_json::{Value, json};

use super::command::{Chrome, send};

/// axe-core, a library of accessibility checks.
const AXE: &str = include_str!("axe/axe.min.js");

/// Ctrl+A in WebDriver's notation of keys (section 17.4.2).
const SELECT_ALL: &str = "\u{e009}a\u{e000}";

/// The current tab of the browser, at one ingress.
#[derive(Clone, Debug)]
pub(crate) struct Tab {
    pub(crate) client: Client,
    pub(crate) base: String,
}

impl Tab {
    /// Goes to a path of the ingress.
    pub(crate) async fn go(&self, path: &str) {
        self.client
            .goto(&format!("http://{}{path}", self.base))
            .await
            .unwrap();
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The path and query of the page.
    pub(crate) async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        )
    }

    /// The text of the first element of a selector.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let found = self.client.find(Locator::Css(selector)).await.ok()?;
        found.text().await.ok()
    }

    /// Waits until the first element of a selector contains this text.
    pub(crate) async fn sees(&self, selector: &str, text: &str) {
        let seen = async || self.text(selector).await.filter(|seen| seen.contains(text));
        until(&format!("{text:?} in {selector}"), seen).await;
    }

    /// Waits until the page's heading contains this text.
    pub(crate) async fn is_at(&self, heading: &str) {
        self.sees("main h1", heading).await;
    }

    /// Clicks the first element of a selector when it is enabled.
    pub(crate) async fn press(&self, selector: &str) {
        until(&format!("a click on {selector}"), async || {
            let found = self.client.find(Locator::Css(selector)).await.ok()?;
            let is_enabled = found.is_enabled().await.ok()?;
            if is_enabled {
                found.click().await.ok()
            } else {
                None
            }
        })
        .await;
    }

    /// Clicks the button or link with this text.
    pub(crate) async fn choose(&self, text: &str) {
        let path = format!(
            "//*[self::button or self::a or self::summary][normalize-space()='{text}' and not(@disabled)]"
        );
        until(&format!("a click on {text:?}"), async || {
            let found = self.client.find(Locator::XPath(&path)).await.ok()?;
            found.click().await.ok()
        })
        .await;
    }

    /// Replaces the text of a field.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        until(&format!("the field {selector}"), async || {
            let field = self.client.find(Locator::Css(selector)).await.ok()?;
            field.send_keys(&format!("{SELECT_ALL}{text}")).await.ok()
        })
        .await;
    }

    /// Runs a function's body in the page.
    pub(crate) async fn script(&self, body: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(body, arguments).await.unwrap()
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) async fn devtools(&self, name: &str, parameters: Value) -> Value {
        send(&self.client, Chrome::devtools(name, parameters))
            .await
            .unwrap()
    }

    /// Sets the size of the page, in CSS pixels.
    pub(crate) async fn size(&self, width: u32, height: u32, is_phone: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// The errors and warnings in the browser's console, with reports of the content security policy.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let entries = send(&self.client, Chrome::log()).await.unwrap();
        let is_problem = |entry: &&Value| {
            ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or_default())
        };
        entries
            .as_array()
            .unwrap()
            .iter()
            .filter(is_problem)
            .cloned()
            .collect()
    }

    /// Asserts that the console has no errors except responses with this status.
    pub(crate) async fn assert_only_refused(&self, status: u16) {
        let refusal = format!("responded with a status of {status}");
        let problems = self.console().await;
        let other: Vec<_> = problems
            .iter()
            .filter(|entry| !entry["message"].as_str().unwrap().contains(&refusal))
            .collect();
        assert!(other.is_empty(), "{other:?}");
    }

    /// Asserts that the console has no errors except failed connections.
    pub(crate) async fn assert_only_unreachable(&self) {
        let problems = self.console().await;
        let other: Vec<_> = problems
            .iter()
            .filter(|entry| !entry["message"].as_str().unwrap().contains("net::ERR_"))
            .collect();
        assert!(other.is_empty(), "{other:?}");
    }

    /// From now on, the page records every text of the first element of a selector, even one that is shown only briefly.
    pub(crate) async fn record_texts(&self, selector: &str) {
        let script = "const texts = window.recordedTexts = new Set();
            const record = () => texts.add(document.querySelector(arguments[0])?.textContent ?? '');
            new MutationObserver(record).observe(document.documentElement, {subtree: true, childList: true, characterData: true});
            record();";
        self.script(script, vec![json!(selector)]).await;
    }

    /// The recorded texts.
    pub(crate) async fn recorded_texts(&self) -> Vec<String> {
        let texts = self
            .script("return [...window.recordedTexts]", Vec::new())
            .await;
        texts
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    /// Asserts that the console has no errors.
    pub(crate) async fn assert_quiet(&self) {
        let problems = self.console().await;
        assert!(problems.is_empty(), "{problems:?}");
    }

    /// Asserts that axe-core finds no violations in the page, in light and dark colours.
    pub(crate) async fn assert_accessible(&self) {
        for scheme in ["light", "dark"] {
            self.scheme(scheme).await;
            self.script(AXE, Vec::new()).await;
            let run = "const done = arguments[arguments.length - 1];
                axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations), (error) => done(String(error)));";
            let found = self.client.execute_async(run, Vec::new()).await.unwrap();
            let found = found.as_array().unwrap_or_else(|| panic!("{found}"));
            let violations: Vec<_> = found
                .iter()
                .map(|one| (&one["id"], &one["nodes"]))
                .collect();
            assert!(
                violations.is_empty(),
                "{scheme} at {}: {violations:#?}",
                self.address().await
            );
        }
        self.scheme("light").await;
    }

    /// Sets the preferred colour scheme: `light` or `dark`.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Opens another tab and switches to it. Returns the handle of the first.
    pub(crate) async fn another(&self) -> fantoccini::wd::WindowHandle {
        let first = self.client.window().await.unwrap();
        let other = self.client.new_window(true).await.unwrap();
        self.client.switch_to_window(other.handle).await.unwrap();
        first
    }
}
