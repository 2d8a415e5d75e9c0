//! The store and the console in a real browser: headless Chromium, driven by chromedriver.
//!
//! Where these are not installed the tests say so and pass, unless `HOLDFAST_BROWSER` is `required`, as in `.ci/run`.
//! `HOLDFAST_IMAGES` names a directory to put pictures of the pages into, which else are not taken.

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
