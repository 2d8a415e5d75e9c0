//! Checks of pages, and their pictures for the documentation: on a desktop and a phone, in light and dark colours.

use std::path::PathBuf;

use holdfast_tests::until;

use super::tab::Tab;

const DESKTOP: (u32, u32) = (1280, 1000);
const PHONE: (u32, u32) = (390, 844);

/// Asserts that the page is accessible and fits a phone.
pub(crate) async fn assert_usable(tab: &Tab) {
    tab.assert_accessible().await;
    assert_fits_a_phone(tab).await;
}

/// Asserts the same, and takes the pictures of the page.
pub(crate) async fn take_picture(tab: &Tab, name: &str) {
    assert_usable(tab).await;
    write_pictures(tab, name).await;
}

/// Writes pictures of the page to the directory `HOLDFAST_IMAGES`. Does nothing when it is not set.
async fn write_pictures(tab: &Tab, name: &str) {
    let Some(directory) = std::env::var_os("HOLDFAST_IMAGES").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&directory).unwrap();
    for (device, (width, height), is_phone) in [("desktop", DESKTOP, false), ("phone", PHONE, true)]
    {
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
    tab.size(DESKTOP.0, DESKTOP.1, false).await;
    tab.scheme("light").await;
}

/// Waits until the page is not wider than a phone, so that no user must scroll sideways. It waits because charts follow a
/// new size with a delay.
async fn assert_fits_a_phone(tab: &Tab) {
    tab.size(PHONE.0, PHONE.1, true).await;
    let condition = format!("{} not wider than a phone", tab.address().await);
    until(&condition, async || {
        let width = tab
            .script("return document.documentElement.scrollWidth", Vec::new())
            .await;
        (width.as_u64()? <= u64::from(PHONE.0)).then_some(())
    })
    .await;
    tab.size(DESKTOP.0, DESKTOP.1, false).await;
}
