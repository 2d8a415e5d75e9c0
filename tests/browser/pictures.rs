//! Pictures of pages for the documentation: on a desk and on a phone, by day and by night.

use std::path::PathBuf;

use holdfast_tests::until;

use super::tab::Tab;

const DESK: (u32, u32) = (1280, 1000);
const PHONE: (u32, u32) = (390, 844);

/// Asserts that the page as it is can be used by everybody, on a desk and on a phone, by day and by night.
pub(crate) async fn looks_right(tab: &Tab) {
    tab.assert_accessible().await;
    assert_fits_a_phone(tab).await;
}

/// The same, and takes its picture.
pub(crate) async fn is_pictured(tab: &Tab, name: &str) {
    looks_right(tab).await;
    take(tab, name).await;
}

/// Takes a picture of the page as it is, where `HOLDFAST_IMAGES` says so.
async fn take(tab: &Tab, name: &str) {
    let Some(directory) = std::env::var_os("HOLDFAST_IMAGES").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&directory).unwrap();
    for (device, (width, height), is_phone) in [("desktop", DESK, false), ("phone", PHONE, true)] {
        for scheme in ["light", "dark"] {
            tab.size(width, height, is_phone).await;
            tab.scheme(scheme).await;
            until("charts in the colours of the page", async || {
                let is_drawn =
                    "const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
                    return [...document.querySelectorAll('.plot')].every((plot) => plot.dataset.accent === accent)";
                (tab.script(is_drawn, Vec::new()).await == true).then_some(())
            })
            .await;
            let picture = tab.client.screenshot().await.unwrap();
            std::fs::write(
                directory.join(format!("{name}-{device}-{scheme}.png")),
                picture,
            )
            .unwrap();
        }
    }
    tab.size(DESK.0, DESK.1, false).await;
    tab.scheme("light").await;
}

/// Waits until a page is not wider than a phone, so that nobody has to scroll sideways: drawings follow a size only when they have
/// heard of it.
async fn assert_fits_a_phone(tab: &Tab) {
    tab.size(PHONE.0, PHONE.1, true).await;
    let what = format!("{} not wider than a phone", tab.address().await);
    until(&what, async || {
        let width = tab
            .script("return document.documentElement.scrollWidth", Vec::new())
            .await;
        (width.as_u64()? <= u64::from(PHONE.0)).then_some(())
    })
    .await;
    tab.size(DESK.0, DESK.1, false).await;
}
