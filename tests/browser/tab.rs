//! A page as a person uses it: by the words on it. Everything waits until it is there, with a deadline.

use fantoccini::{Client, Locator};
use holdfast_tests::until;
use serde_json::{Value, json};

use super::command::{Chrome, send};

/// The accessibility checks of axe-core, which is not ours.
const AXE: &str = include_str!("axe/axe.min.js");

/// Control held, `a`, and all keys let go, as WebDriver writes keys (section 17.4.2).
const SELECT_ALL: &str = "\u{e009}a\u{e000}";

/// The browser's present tab, at one ingress.
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

    /// The path and query it is at.
    pub(crate) async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        )
    }

    /// The text of what a selector finds first.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let found = self.client.find(Locator::Css(selector)).await.ok()?;
        found.text().await.ok()
    }

    /// Waits until what a selector finds first has this text.
    pub(crate) async fn sees(&self, selector: &str, text: &str) {
        let seen = async || self.text(selector).await.filter(|seen| seen.contains(text));
        until(&format!("{text:?} in {selector}"), seen).await;
    }

    /// Waits until the first heading says this.
    pub(crate) async fn is_at(&self, heading: &str) {
        self.sees("main h1", heading).await;
    }

    /// Presses what a selector finds first, once it can be pressed.
    pub(crate) async fn press(&self, selector: &str) {
        until(&format!("a press on {selector}"), async || {
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

    /// Presses the button or link that says this.
    pub(crate) async fn choose(&self, words: &str) {
        let path = format!(
            "//*[self::button or self::a or self::summary][normalize-space()='{words}' and not(@disabled)]"
        );
        until(&format!("a press on {words:?}"), async || {
            let found = self.client.find(Locator::XPath(&path)).await.ok()?;
            found.click().await.ok()
        })
        .await;
    }

    /// Writes into a field, in the place of what is there.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        until(&format!("the field {selector}"), async || {
            let field = self.client.find(Locator::Css(selector)).await.ok()?;
            field.send_keys(&format!("{SELECT_ALL}{text}")).await.ok()
        })
        .await;
    }

    /// Runs a script in the page, a function's body.
    pub(crate) async fn script(&self, body: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(body, arguments).await.unwrap()
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) async fn devtools(&self, name: &str, parameters: Value) -> Value {
        send(&self.client, Chrome::devtools(name, parameters))
            .await
            .unwrap()
    }

    /// Is so large, as a phone or not.
    pub(crate) async fn size(&self, width: u32, height: u32, is_phone: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// What pages have complained of in the console, the policy's reports included.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let entries = send(&self.client, Chrome::log()).await.unwrap();
        let is_complaint = |entry: &&Value| {
            ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or_default())
        };
        entries
            .as_array()
            .unwrap()
            .iter()
            .filter(is_complaint)
            .cloned()
            .collect()
    }

    /// Asserts that nothing was complained of, but for refusals of this status, which a browser writes down as errors.
    pub(crate) async fn assert_only_refused(&self, status: u16) {
        let refusal = format!("responded with a status of {status}");
        let complaints = self.console().await;
        let other: Vec<_> = complaints
            .iter()
            .filter(|entry| !entry["message"].as_str().unwrap().contains(&refusal))
            .collect();
        assert!(other.is_empty(), "{other:?}");
    }

    /// Asserts that nothing was complained of, but that the server could not be reached.
    pub(crate) async fn assert_only_unreachable(&self) {
        let complaints = self.console().await;
        let other: Vec<_> = complaints
            .iter()
            .filter(|entry| !entry["message"].as_str().unwrap().contains("net::ERR_"))
            .collect();
        assert!(other.is_empty(), "{other:?}");
    }

    /// Has the page note every text that what a selector finds first ever has, however briefly.
    pub(crate) async fn note(&self, selector: &str) {
        let script = "const noted = window.noted = new Set();
            const look = () => noted.add(document.querySelector(arguments[0])?.textContent ?? '');
            new MutationObserver(look).observe(document.documentElement, {subtree: true, childList: true, characterData: true});
            look();";
        self.script(script, vec![json!(selector)]).await;
    }

    /// The texts that were noted.
    pub(crate) async fn noted(&self) -> Vec<String> {
        let noted = self.script("return [...window.noted]", Vec::new()).await;
        noted
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    /// Asserts that nothing was complained of.
    pub(crate) async fn assert_quiet(&self) {
        let complaints = self.console().await;
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Asserts that axe-core finds nothing to complain of in the page as it is, by day and by night.
    pub(crate) async fn assert_accessible(&self) {
        for scheme in ["light", "dark"] {
            self.scheme(scheme).await;
            self.script(AXE, Vec::new()).await;
            let run = "const done = arguments[arguments.length - 1];
                axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations), (error) => done(String(error)));";
            let violations = self.client.execute_async(run, Vec::new()).await.unwrap();
            let what: Vec<_> = violations
                .as_array()
                .unwrap_or_else(|| panic!("{violations}"))
                .iter()
                .collect();
            let shown: Vec<_> = what.iter().map(|one| (&one["id"], &one["nodes"])).collect();
            assert!(
                shown.is_empty(),
                "{scheme} at {}: {shown:#?}",
                self.address().await
            );
        }
        self.scheme("light").await;
    }

    /// Prefers light or dark.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Opens another tab and goes there.
    pub(crate) async fn another(&self) -> fantoccini::wd::WindowHandle {
        let first = self.client.window().await.unwrap();
        let other = self.client.new_window(true).await.unwrap();
        self.client.switch_to_window(other.handle).await.unwrap();
        first
    }
}
