//! Which platform is meant.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::Selector;
use ocistow_layout::{Descriptor, Digest, Kind, Platform};

fn platform(text: &str) -> Platform {
    let (text, version) = text.split_once(':').map_or((text, None), |(text, version)| (text, Some(version)));
    let mut words = text.split('/').map(str::to_owned);
    Platform {
        os: words.next().unwrap_or_default(),
        architecture: words.next().unwrap_or_default(),
        variant: words.next(),
        os_version: version.map(str::to_owned),
        os_features: Vec::new(),
    }
}

#[test]
fn platforms_match_by_the_rules_of_the_contract() {
    let yes = [
        ("linux/amd64", "linux/amd64"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v7", "linux/arm"),
        ("linux", "linux/s390x"),
        ("windows/amd64:10.0.17763", "windows/amd64:10.0.17763"),
        ("windows/amd64", "windows/amd64:10.0.17763"),
    ];
    let no = [
        ("linux/amd64", "linux/arm64"),
        ("linux/amd64", "windows/amd64"),
        ("linux/arm64", "linux/arm64/v9"),
        ("linux/arm/v6", "linux/arm/v7"),
        ("unknown/unknown", "unknown/unknown"),
        ("windows/amd64:10.0.20348", "windows/amd64:10.0.17763"),
        ("windows/amd64:10.0.20348", "windows/amd64"),
    ];
    for (pairs, expected) in [(&yes[..], true), (&no[..], false)] {
        for (asked, is) in pairs {
            assert_eq!(asked.parse::<Selector>().unwrap().matches(&platform(is)), expected, "{asked} {is}");
        }
    }
}

/// INDEX-9: a version matters to who asks for one; features are kept, and matter to nobody.
#[test]
fn what_windows_says_besides_is_kept_and_matters_only_when_asked() {
    let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.17763.5","os.features":["win32k"],"features":["sse4"]}"#;
    let digest = Digest::of(b"");
    let text = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":0,"platform":{text}}}"#);
    let child = Descriptor::parse(&text).unwrap();
    assert_eq!(child.text(), text);
    let windows = *child.platform.unwrap();
    assert_eq!(windows.os_features, ["win32k"]);
    for (asked, matches) in
        [("windows/amd64", true), ("windows/amd64:10.0.17763.5", true), ("windows/amd64:10.0.20348.1", false)]
    {
        assert_eq!(asked.parse::<Selector>().unwrap().matches(&windows), matches, "{asked}");
    }
}

/// INDEX-6.
#[test]
fn one_answer_is_the_exact_match_else_the_first() {
    let platforms = [platform("linux/arm/v6"), platform("linux/arm/v7"), platform("linux/arm")];
    let choose = |asked: &str| asked.parse::<Selector>().unwrap().choose(platforms.iter().map(Some));
    assert_eq!(choose("linux/arm/v7"), Some(1));
    assert_eq!(choose("linux/arm"), Some(2));
    assert_eq!(choose("linux"), Some(0));
    assert_eq!(choose("linux/arm/v8"), Some(2));
    assert_eq!(choose("linux/amd64"), None);
}

#[test]
fn what_is_no_platform_is_usage() {
    for text in ["", "/", "linux/", "linux//v8", "linux/arm/v7/x", "linux/amd64:", ":1"] {
        assert_eq!(text.parse::<Selector>().unwrap_err().kind(), Kind::Usage, "{text}");
    }
    for text in ["linux", "linux/arm64/v8", "windows/amd64:10.0.17763"] {
        assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
    }
}
