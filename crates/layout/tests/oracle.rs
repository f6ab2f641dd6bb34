//! The oci-spec crate as an oracle: whatever it takes for a descriptor or a digest, we do too, or say
//! which rule it breaks.

use ocistow_layout::descriptor::{Descriptor, DescriptorError};
use ocistow_layout::digest::{Digest, DigestError};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_oci_spec_takes_for_a_digest_we_classify(text in "(sha256|sha512|sha384|md5|[a-z.+_-]{1,5}):([a-f0-9]{64}|[a-f0-9]{128}|[A-Za-z0-9=_-]{1,20}|[.:/ ]{0,3})") {
        let theirs = text.parse::<oci_spec::image::Digest>();
        match (theirs, text.parse::<Digest>()) {
            (Ok(theirs), Ok(ours)) => {
                prop_assert_eq!(theirs.to_string(), ours.to_string());
                prop_assert_eq!(ours.to_string(), text);
            }
            // It knows sha384 too, whose encoding the specification does not fix.
            (Err(_), Ok(ours)) => prop_assert!(!ours.verifiable(), "{} is refused by oci-spec", ours),
            (Ok(_), Err(DigestError::Encoding(_))) => prop_assert!(false, "{text} has a known algorithm"),
            // The grammar forbids doubled separators; oci-spec lets some pass.
            (Ok(_), Err(DigestError::Format(_))) | (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn what_oci_spec_takes_for_a_descriptor_we_do_too(
        media_type in "[a-z]{1,8}/[a-z.+]{1,12}",
        digits in "[a-f0-9]{64}",
        size in any::<u64>(),
        annotations in proptest::collection::btree_map("[a-z.]{1,10}", ".{0,10}", 0..3),
        artifact_type in proptest::option::of("[a-z]{1,4}/[a-z]{1,4}"),
    ) {
        let text = serde_json::json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digits}"),
            "size": size,
            "annotations": annotations,
            "artifactType": artifact_type,
            "unknown": [1.50, null],
        })
        .to_string();
        let theirs = serde_json::from_str::<oci_spec::image::Descriptor>(&text);
        match (theirs, Descriptor::parse(&text)) {
            (Ok(theirs), Ok(ours)) => {
                prop_assert_eq!(theirs.size(), ours.size);
                prop_assert_eq!(theirs.digest().to_string(), ours.digest.to_string());
                prop_assert_eq!(theirs.media_type().to_string(), ours.media_type.clone());
                let same = theirs.annotations().clone().unwrap_or_default().into_iter().collect::<std::collections::BTreeMap<_, _>>();
                prop_assert_eq!(same, ours.annotations.to_map());
                prop_assert_eq!(ours.text(), text);
            }
            // DESCRIPTOR-3: a size is a signed 64-bit number, which oci-spec does not check.
            (Ok(_), Err(DescriptorError::Wrong("size"))) => prop_assert!(size > i64::MAX as u64),
            (theirs, ours) => prop_assert!(false, "{theirs:?} {ours:?}"),
        }
    }

    /// Input never reaches a panic.
    #[test]
    fn no_text_panics_our_readers(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Descriptor::parse(&text);
        let _ = text.parse::<Digest>();
        let _ = ocistow_layout::IndexFile::parse(bytes);
        let _ = ocistow_layout::IndexFile::parse(text.clone().into_bytes());
        let _ = ocistow_layout::IndexFile::parse(format!("{{\"manifests\":[{text}]}}").into_bytes());
        let _ = ocistow_layout::Marker::judge(text.as_bytes());
        let _ = ocistow_layout::name::Pair::written(&text);
        let _ = ocistow_layout::name::docker_normal(&text);
    }
}
