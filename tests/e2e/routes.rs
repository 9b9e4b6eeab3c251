//! What every example app answers: one check per thing that web apps do.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, COOKIE};

use crate::app::{Answer, App};
use crate::limits::{CHANGE_MAX, ECHO_BYTES, LARGE_BYTES};
use crate::place::Place;
use crate::wait;

/// A config var, where the examples show it, and its value.
const VARIABLE: &str = "GREETING";
const PATH: &str = "/environment?name=GREETING";
const VALUE: &str = "Servus";

/// The routes of a fresh app, one after the other.
pub async fn check(app: &App) {
    hello(app).await;
    echo(app).await;
    cookies(app).await;
    large(app).await;
    fresh_values(app, 6).await;
    app.get("/error").await.with_status(500);
    // A failed request is no crash: the next is answered.
    app.get("/hello").await.with_status(200);
}

async fn hello(app: &App) {
    let front = app.get("/").await.with_status(200);
    assert!(front.text().contains("Hello"), "{}", front.text());
    let hello = app.get("/hello?name=World").await.with_status(200);
    assert_eq!(hello.text().trim_end(), "Hello, World!");
    assert!(
        hello.header("content-type").starts_with("text/plain"),
        "{:?}",
        hello.headers
    );
}

async fn echo(app: &App) {
    let body: Vec<u8> = (0..=250).cycle().take(ECHO_BYTES).collect();
    let kind = "application/x-dyno-echo";
    let request = app
        .request(Method::POST, "/echo")
        .header(CONTENT_TYPE, kind)
        .body(body.clone());
    let answer = app.ask(request).await.with_status(200);
    assert_eq!(answer.body.len(), body.len(), "bytes that came back");
    assert!(answer.body == body, "other bytes came back than were sent");
    assert_eq!(answer.header("content-type"), kind);
}

async fn cookies(app: &App) {
    let first = app.get("/cookies").await.with_status(200);
    assert_eq!(visits(&first), 1);
    let cookie = visits_cookie(&first);
    assert_eq!(cookie, "visits=1");
    let second = app
        .ask(app.request(Method::GET, "/cookies").header(COOKIE, cookie))
        .await
        .with_status(200);
    assert_eq!(visits(&second), 2);
    assert_eq!(visits_cookie(&second), "visits=2");
}

/// The number at the end of the text, however it is introduced.
fn visits(answer: &Answer) -> u32 {
    let text = answer.text();
    let number = text
        .trim_end()
        .rsplit(|character: char| !character.is_ascii_digit())
        .next();
    number
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number of visits in {text:?}"))
}

/// What a browser would send back.
fn visits_cookie(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter();
    let pairs = set.filter_map(|value| value.to_str().ok()?.split(';').next());
    let visits = pairs
        .map(str::to_owned)
        .find(|pair| pair.starts_with("visits="));
    visits.unwrap_or_else(|| panic!("no cookie in {:?}", answer.headers))
}

async fn large(app: &App) {
    let answer = app
        .get(&format!("/large?bytes={LARGE_BYTES}"))
        .await
        .with_status(200);
    assert_eq!(answer.body.len(), LARGE_BYTES, "bytes of the large answer");
    assert!(
        answer.body.iter().all(|byte| *byte == b'a'),
        "the large answer has other bytes than a"
    );
}

/// Random numbers differ between requests, wherever they are answered: no two instances share a generator.
pub async fn fresh_values(app: &App, requests: usize) {
    let mut seen = BTreeSet::new();
    for _ in 0..requests {
        let values = app.get("/random").await.with_status(200).text();
        assert!(seen.insert(values.clone()), "{values} came twice");
    }
}

/// `config:set` makes a release that the app sees, and no request fails meanwhile.
pub async fn config_vars(place: &Place, app: &App, name: &str, front_page_shows_it: bool) {
    app.get(PATH).await.with_status(404);
    let set = place
        .run(["config:set", &format!("{VARIABLE}={VALUE}"), "--app", name])
        .await;
    set.ended_with(0, &[VARIABLE, VALUE]);
    let value = wait::until("the new config var", CHANGE_MAX, async || {
        let answer = app.get(PATH).await;
        match answer.status.as_u16() {
            200 => Ok(answer.text()),
            404 => Err("404, the old release".to_owned()),
            status => panic!("{status} while a release took over: {}", answer.text()),
        }
    })
    .await;
    assert_eq!(value.trim_end(), VALUE);
    if front_page_shows_it {
        let front = app.get("/").await.with_status(200).text();
        assert!(
            front.contains(VALUE),
            "read while the app loads, and still the old value: {front}"
        );
    }
}

/// The acknowledged value is there, and `config:unset` makes a release without it.
pub async fn config_vars_are_gone_when_unset(place: &Place, app: &App, name: &str) {
    let answer = app.get(PATH).await.with_status(200);
    assert_eq!(answer.text().trim_end(), VALUE);
    let unset = place.run(["config:unset", VARIABLE, "--app", name]).await;
    unset.succeeded();
    wait::until("the config var's end", CHANGE_MAX, async || {
        match app.get(PATH).await.status.as_u16() {
            404 => Ok(()),
            200 => Err("200, the old release".to_owned()),
            status => panic!("{status} while a release took over"),
        }
    })
    .await;
}
