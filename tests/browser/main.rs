//! The store and the console in a real browser: headless Chromium, driven by chromedriver.
//!
//! Without these programs, the tests print that they are skipped. With `HOLDFAST_BROWSER=required`, as in `.ci/run`, they
//! fail instead. With `HOLDFAST_IMAGES` set to a directory, the tests write pictures of the pages there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alerts;
mod browser;
mod command;
mod console;
mod crowd;
mod dev;
mod every_page;
mod far_away;
mod pictures;
mod store;
mod tab;
