//! Media types: what they have to look like.

/// Whether `text` is a media type as descriptors have them (2.4, DESCRIPTOR-2): two names with a `/` between, no
/// parameters.
pub fn is_media_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, name)| is_name(kind) && is_name(name))
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= 127
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors B.4.
    #[test]
    fn media_types_follow_their_grammar() {
        let long = "1".repeat(127);
        let longest = format!("{long}/{long}");
        for text in ["application/vnd.oci.image.manifest.v1+json", "text/spdx", "signature/example", &longest] {
            assert!(is_media_type(text), "{text}");
        }
        let too_long = [format!("{long}1/x"), format!("x/{long}1")];
        for text in ["", "application", "invalid", "foo/", "/foo", ".foo/bar", "foo/.bar", "a/b/c", "a/b\n", "a/b "]
            .into_iter()
            .chain(["application/json; charset=utf-8", "application/vnd.dev.sigstore.bundle+json;version=0.3"])
            .chain(too_long.iter().map(String::as_str))
        {
            assert!(!is_media_type(text), "{text}");
        }
    }
}
