//! The operator's console.

use futures_util::future::join_all;
use holdfast_tests::{ADMIN_TOKEN, Sale, SaleBuilder, Webhook, assert_invariants, until};
use reqwest::{Method, StatusCode};

use super::browser::in_browser;
use super::pictures::{assert_usable, take_picture};
use super::tab::Tab;

pub(crate) async fn sign_in(tab: &Tab) {
    tab.go("/console").await;
    tab.is_at("Console").await;
    tab.write("#token", ADMIN_TOKEN).await;
    tab.choose("Sign in").await;
    tab.is_at("Overview").await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_signing_out_ends_the_session() {
    let sale = Sale::start().await;
    in_browser(sale.client().address(), async |tab| {
        tab.go("/console").await;
        tab.is_at("Console").await;
        take_picture(&tab, "console-sign-in").await;
        tab.write("#token", "not-the-token").await;
        tab.choose("Sign in").await;
        tab.sees("[role=alert]", "not the admin token").await;
        assert_usable(&tab).await;
        tab.assert_only_refused(401).await;
        sign_in(&tab).await;
        let cookie = tab.script("return document.cookie", Vec::new()).await;
        assert_eq!(cookie, "", "scripts can't read the cookie");
        tab.assert_quiet().await;
        tab.choose("Sign out").await;
        tab.is_at("Console").await;
        tab.reload().await;
        tab.is_at("Console").await;
        // Reads that were in flight when the cookie was deleted get 401.
        tab.assert_only_refused(401).await;
    })
    .await;
}

#[tokio::test]
async fn sign_in_attempts_are_rate_limited() {
    let sale = Sale::start().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let guess = async |token: &str| {
        sale.client()
            .send(
                Method::POST,
                "/console/session",
                &form,
                Some(format!("token={token}").into_bytes()),
            )
            .await
    };
    let refused = until("a guess above the limit", async || {
        let guesses = join_all((0..12).map(|_| guess("not-the-token"))).await;
        guesses
            .into_iter()
            .find(|guess| guess.status == StatusCode::TOO_MANY_REQUESTS)
    })
    .await;
    assert!(
        refused.header("retry-after").parse::<u64>().unwrap() >= 1,
        "{refused:?}"
    );
    assert!(
        refused.text.contains("Too many attempts")
            && refused.header("content-type").starts_with("text/html")
    );
    assert!(
        refused
            .header("content-security-policy")
            .contains("default-src 'none'"),
        "{refused:?}"
    );
    assert_eq!(
        sale.admin_get("/api/admin/overview").await.status,
        StatusCode::OK,
        "calls with the token are not limited"
    );
    in_browser(sale.client().address(), async |tab| {
        tab.go("/console").await;
        until("a refused sign-in", async || {
            // Uses up the attempts that were added meanwhile; on a slow machine these are many.
            join_all((0..12).map(|_| guess("not-the-token"))).await;
            tab.write("#token", ADMIN_TOKEN).await;
            tab.choose("Sign in").await;
            // The previous page stays for a moment, so wait until one of the two responses is shown.
            let is_refused = until("a response to the sign-in", async || {
                let refusal = tab
                    .text("[role=alert]")
                    .await
                    .filter(|seen| seen.contains("Too many attempts"));
                let inside = tab
                    .text("main h1")
                    .await
                    .filter(|seen| seen.contains("Overview"));
                refusal.map(|_| true).or(inside.map(|_| false))
            })
            .await;
            if !is_refused {
                tab.choose("Sign out").await;
                tab.is_at("Console").await;
            }
            is_refused.then_some(())
        })
        .await;
        assert_usable(&tab).await;
        tab.assert_only_refused(429).await;
    })
    .await;
}

#[tokio::test]
async fn console_files_and_calls_need_a_session() {
    let sale = Sale::start().await;
    let client = sale.client();
    let sign_in_page = client.get("/console").await;
    assert_eq!(sign_in_page.status, StatusCode::OK);
    assert!(
        sign_in_page.text.contains("Sign in") && !sign_in_page.text.contains("console/main.js"),
        "{}",
        sign_in_page.text
    );
    let assets = sign_in_page
        .text
        .split('"')
        .find(|text| text.ends_with("/shared/app.css"))
        .unwrap()
        .trim_end_matches("/shared/app.css");
    assert_eq!(
        client.get(&format!("{assets}/shared/app.css")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        client
            .get(&format!("{assets}/console/main.js"))
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        client.get("/").await.status,
        StatusCode::NOT_FOUND,
        "no store without DEMO_STORE"
    );
    assert_eq!(
        client.get(&format!("{assets}/store/main.js")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        client.get("/demo/crowd").await.status,
        StatusCode::NOT_FOUND
    );

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = || Some(format!("token={ADMIN_TOKEN}").into_bytes());
    let sent = |headers: &'static [(&'static str, &'static str)]| [&form[..], headers].concat();
    let foreign = client
        .send(
            Method::POST,
            "/console/session",
            &sent(&[("sec-fetch-site", "cross-site")]),
            body(),
        )
        .await;
    assert_eq!(
        foreign.status,
        StatusCode::UNAUTHORIZED,
        "another site's form"
    );
    let no_redirects = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = format!("http://{}/console/session", client.address());
    let signed_in = no_redirects
        .post(url)
        .header("content-type", form[0].1)
        .body(body().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(signed_in.status(), StatusCode::SEE_OTHER);
    let cookie = signed_in.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict")
            && !cookie.contains(ADMIN_TOKEN)
    );
    let cookie = cookie.split(';').next().unwrap();
    let page = client
        .send(Method::GET, "/console", &[("cookie", cookie)], None)
        .await;
    assert!(
        page.text.contains("console/main.js")
            && page
                .header("content-security-policy")
                .contains("script-src 'self'")
    );
    let letters = "/api/admin/dead-letters/1/drop";
    let read = client
        .send(
            Method::GET,
            "/api/admin/overview",
            &[("cookie", cookie)],
            None,
        )
        .await;
    assert_eq!(read.status, StatusCode::OK);
    let bare = client
        .send(Method::POST, letters, &[("cookie", cookie)], None)
        .await;
    assert_eq!(
        bare.problem(),
        "unauthorized",
        "a change without the console's header"
    );
    let from_console = client
        .send(
            Method::POST,
            letters,
            &[("cookie", cookie), ("x-holdfast-console", "1")],
            None,
        )
        .await;
    assert_eq!(from_console.problem(), "dead_letter_not_found");
    let forged = client
        .send(
            Method::GET,
            "/api/admin/overview",
            &[("cookie", "holdfast_session=9999999999.0.0")],
            None,
        )
        .await;
    assert_eq!(forged.problem(), "unauthorized");
}

#[tokio::test]
async fn the_store_shows_an_operators_changes() {
    let sale = SaleBuilder::default().demo_store().start().await;
    let product = sale.product(5).await;
    in_browser(sale.client().address(), async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.sees("[data-stock=available]", "5").await;
        let store = tab.another().await;
        sign_in(&tab).await;
        tab.choose("Products").await;
        tab.write(&format!("#restock-{product}"), "37").await;
        tab.choose("Restock").await;
        tab.sees("[role=status] .notice", "37 units added").await;
        tab.choose("Close the sale").await;
        tab.sees("article .badge", "closed").await;
        let console = tab.client.window().await.unwrap();
        tab.client.switch_to_window(store).await.unwrap();
        tab.sees("[data-stock=available]", "42").await;
        tab.sees("form button", "Ended").await;
        tab.client.switch_to_window(console).await.unwrap();
        tab.choose("Open the sale").await;
        tab.sees("article .badge", "open").await;
        tab.choose("Add a product").await;
        tab.write("#name-new", "Chair").await;
        tab.write("#price-new", "49.5").await;
        tab.choose("Add product").await;
        tab.sees(".notice", "Chair was added").await;
        let price = "SELECT price_minor FROM products WHERE name = 'Chair' AND product_id > $1";
        assert_eq!(sale.count(price, 0).await, 4950);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_is_retried_and_a_refund_resolved() {
    let sale = Sale::start().await;
    let (bad, good) = (sale.product(5).await, sale.product(5).await);
    sqlx::query("UPDATE products SET currency = '???' WHERE product_id = $1")
        .bind(bad)
        .execute(&sale.pool)
        .await
        .unwrap();
    assert_eq!(
        sale.client().hold(bad, 1, &[]).await.problem(),
        "command_failed"
    );
    sqlx::query("UPDATE products SET currency = 'USD' WHERE product_id = $1")
        .bind(bad)
        .execute(&sale.pool)
        .await
        .unwrap();
    let order = sale.order(good, 1).await;
    for (key, payment) in [("evt_1", "pay_1"), ("evt_2", "pay_2")] {
        Webhook::new(key, &order, payment, "succeeded")
            .send(sale.client())
            .await;
    }
    in_browser(sale.client().address(), async |tab| {
        sign_in(&tab).await;
        tab.sees("[data-well=false]", "Commands that could not be applied: 1")
            .await;
        tab.sees("[aria-label=Stock] .figures", "refunds due\n1")
            .await;
        tab.choose("Dead letters").await;
        tab.choose("Show").await;
        tab.sees("pre", "CreateHold").await;
        take_picture(&tab, "console-dead-letter").await;
        tab.choose("Retry").await;
        tab.sees(".notice", "was applied").await;
        assert_eq!(
            sale.count("SELECT held_stock FROM products WHERE product_id = $1", bad)
                .await,
            1
        );
        tab.choose("Refunds").await;
        tab.sees("tbody", "pay_2").await;
        assert_usable(&tab).await;
        tab.choose("Mark as refunded").await;
        tab.sees("main", "There are no refunds").await;
        tab.sees("[data-well=true]", "All is well").await;
    })
    .await;
}

#[tokio::test]
async fn drift_is_found_and_corrected() {
    let sale = Sale::start().await;
    let (lamp, other) = (sale.product(40).await, sale.product(7).await);
    sale.order(lamp, 2).await;
    in_browser(sale.client().address(), async |tab| {
        sign_in(&tab).await;
        tab.choose("Stock").await;
        tab.is_at("Stock").await;
        tab.choose("Verify stock").await;
        tab.sees("[data-drift='0']", "Verified 2 products").await;
        assert_usable(&tab).await;
        plant_drift(&sale, lamp).await;
        tab.choose("Verify stock").await;
        tab.sees("[data-drift='1']", "1 of 2 products has wrong counts")
            .await;
        tab.sees(
            &format!("[data-off='{lamp}'] tbody tr:nth-child(1)"),
            "available 35 38",
        )
        .await;
        tab.sees(
            &format!("[data-off='{lamp}'] tbody tr:nth-child(2)"),
            "held 5 2",
        )
        .await;
        take_picture(&tab, "console-stock").await;
        tab.choose("Recalculate").await;
        tab.sees(".notice", "were corrected").await;
        tab.sees("[data-drift='0']", "All counts are correct").await;
        let repairs = "SELECT count(*) FROM audit_trail
                       WHERE product_id = $1 AND kind = 'product.repaired' AND actor = 'operator'";
        assert_eq!(
            (
                sale.count(repairs, lamp).await,
                sale.count(repairs, other).await
            ),
            (1, 0)
        );
        assert_eq!(
            sale.count(
                "SELECT available_stock FROM products WHERE product_id = $1",
                lamp
            )
            .await,
            38
        );
    })
    .await;
    assert_invariants(&sale.pool).await;
}

/// Makes a product's counts wrong.
async fn plant_drift(sale: &Sale, product: i64) {
    let statement =
        "UPDATE products SET available_stock = available_stock - 3, held_stock = held_stock + 3
                     WHERE product_id = $1";
    let planted = sqlx::query(statement)
        .bind(product)
        .execute(&sale.pool)
        .await
        .unwrap();
    assert_eq!(planted.rows_affected(), 1);
}
