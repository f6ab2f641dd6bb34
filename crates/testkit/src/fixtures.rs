//! The fixtures of the specification matrix, Appendix A: exact bytes under the names the numbered facts
//! use. Envelopes have the right shape but no valid signature.

use ocistow_layout::descriptor::Descriptor;
use ocistow_layout::digest::Digest;

/// Bytes with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixture {
    /// As the specification matrix calls it.
    pub name: &'static str,
    /// Its media type; empty for files that are no blobs.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: &'static [u8],
}

impl Fixture {
    /// Its sha256 digest.
    pub fn digest(&self) -> Digest {
        Digest::of(self.bytes)
    }

    /// A descriptor with nothing but what is required.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type, self.digest(), self.bytes.len() as u64)
    }
}

/// F:OCI-LAYOUT
pub const OCI_LAYOUT: Fixture =
    Fixture { name: "OCI-LAYOUT", media_type: "", bytes: br#"{"imageLayoutVersion":"1.0.0"}"# };

/// F:EMPTY-JSON
pub const EMPTY_JSON: Fixture =
    Fixture { name: "EMPTY-JSON", media_type: "application/vnd.oci.empty.v1+json", bytes: br#"{}"# };

/// F:EMPTY-BLOB
pub const EMPTY_BLOB: Fixture = Fixture { name: "EMPTY-BLOB", media_type: "", bytes: b"" };

/// F:LAYER-TAR
pub const LAYER_TAR: Fixture =
    Fixture { name: "LAYER-TAR", media_type: "application/vnd.oci.image.layer.v1.tar", bytes: &[0; 1024] };

/// F:LAYER-GZ
pub const LAYER_GZ: Fixture = Fixture { name: "LAYER-GZ", media_type: "application/vnd.oci.image.layer.v1.tar+gzip", bytes: b"\x1f\x8b\x08\x00\x00\x09\x6e\x88\x00\xff\x62\x18\x05\xa3\x60\x14\x8c\x58\x00\x08\x00\x00\xff\xff\x2e\xaf\xb5\xef\x00\x04\x00\x00" };

/// F:CONFIG-AMD64
pub const CONFIG_AMD64: Fixture = Fixture { name: "CONFIG-AMD64", media_type: "application/vnd.oci.image.config.v1+json", bytes: br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]}}"# };

/// F:CONFIG-ARM64
pub const CONFIG_ARM64: Fixture = Fixture { name: "CONFIG-ARM64", media_type: "application/vnd.oci.image.config.v1+json", bytes: br#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]}}"# };

/// F:IMG-AMD64
pub const IMG_AMD64: Fixture = Fixture { name: "IMG-AMD64", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","size":151},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","size":32}]}"# };

/// F:IMG-ARM64
pub const IMG_ARM64: Fixture = Fixture { name: "IMG-ARM64", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:4c7ac54147d72582ed2ed07e970e64661a5b90ef4184076228a2fc34286a2846","size":151},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef","size":1024}]}"# };

/// F:INDEX
pub const INDEX: Fixture = Fixture { name: "INDEX", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400,"platform":{"architecture":"amd64","os":"linux"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:5f051d0053028f92989a449733fb266f02b90cfce66d2a726268701230e527bd","size":397,"platform":{"architecture":"arm64","os":"linux"}}]}"# };

/// F:REF-ARTIFACT
pub const REF_ARTIFACT: Fixture = Fixture { name: "REF-ARTIFACT", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.sbom.v1","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"org.example.note":"one"}}"# };

/// F:REF-OLD-CONFIG
pub const REF_OLD_CONFIG: Fixture =
    Fixture { name: "REF-OLD-CONFIG", media_type: "application/vnd.example.sig.config.v1+json", bytes: br#"{"k":1}"# };

/// F:REF-OLD
pub const REF_OLD: Fixture = Fixture { name: "REF-OLD", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.example.sig.config.v1+json","digest":"sha256:a0da1fce57d0e4f9f0ae4e4cbe040d34dcc046255c6c8d18e97f55aaed0655f0","size":7},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400}}"# };

/// F:REF-INDEX
pub const REF_INDEX: Fixture = Fixture { name: "REF-INDEX", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"org.example.note":"three"}}"# };

/// F:REF-MISSING
pub const REF_MISSING: Fixture = Fixture { name: "REF-MISSING", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.sbom.v1","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:c95e703647d1e893511f21b0642e6657ad62736da9db655efeed34ff50c7d2ee","size":123}}"# };

/// F:REFERRERS-RESPONSE
pub const REFERRERS_RESPONSE: Fixture = Fixture { name: "REFERRERS-RESPONSE", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0f44084f66286d45dba82f6468ab18591f423d77e2752b4e330acce51acbc3f6","size":552,"artifactType":"application/vnd.example.sig.config.v1+json"},{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:5e77388dadcdcff4a6e64a6cbbdbb785ee250b72f034caa70fb500404faceef2","size":294,"annotations":{"org.example.note":"three"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:7e2114b52a61fcaf5956656e1a4be34aba8523a713fc3311b58e0bdd3f9889b5","size":633,"artifactType":"application/vnd.example.sbom.v1","annotations":{"org.example.note":"one"}}]}"# };

/// F:OCI-ARTIFACT-RC2
pub const OCI_ARTIFACT_RC2: Fixture = Fixture { name: "OCI-ARTIFACT-RC2", media_type: "application/vnd.oci.artifact.manifest.v1+json", bytes: br#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"application/vnd.example.sbom.v1","blobs":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"org.opencontainers.artifact.created":"2022-01-01T14:42:55Z"}}"# };

/// F:OCI-ARTIFACT-RC1
pub const OCI_ARTIFACT_RC1: Fixture = Fixture { name: "OCI-ARTIFACT-RC1", media_type: "application/vnd.oci.artifact.manifest.v1+json", bytes: br#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"application/vnd.example.sbom.v1","blobs":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"refers":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400}}"# };

/// F:ORAS-ARTIFACT
pub const ORAS_ARTIFACT: Fixture = Fixture { name: "ORAS-ARTIFACT", media_type: "application/vnd.cncf.oras.artifact.manifest.v1+json", bytes: br#"{"mediaType":"application/vnd.cncf.oras.artifact.manifest.v1+json","artifactType":"signature/example","blobs":[{"mediaType":"application/octet-stream","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"io.cncf.oras.artifact.created":"2022-06-13T22:11:10Z"}}"# };

/// F:DOCKER-S2
pub const DOCKER_S2: Fixture = Fixture {
    name: "DOCKER-S2",
    media_type: "application/vnd.docker.distribution.manifest.v2+json",
    bytes: br#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 151,
      "digest": "sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 32,
         "digest": "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
      }
   ]
}"#,
};

/// F:IMG-NO-MEDIATYPE
pub const IMG_NO_MEDIATYPE: Fixture = Fixture { name: "IMG-NO-MEDIATYPE", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","size":151},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","size":32}]}"# };

/// F:AMBIGUOUS
pub const AMBIGUOUS: Fixture = Fixture { name: "AMBIGUOUS", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","size":151},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","size":32}],"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400}]}"# };

/// F:INDEX.JSON-STRICT
pub const INDEX_JSON_STRICT: Fixture = Fixture { name: "INDEX.JSON-STRICT", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:a16793e9c91f50d0f9bb42158e2d7f869ec385043972140c274dbe7339f9beb0","size":491,"annotations":{"org.opencontainers.image.ref.name":"v1"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:7e2114b52a61fcaf5956656e1a4be34aba8523a713fc3311b58e0bdd3f9889b5","size":633,"artifactType":"application/vnd.example.sbom.v1"}]}"# };

/// F:EMPTY-INDEX
pub const EMPTY_INDEX: Fixture = Fixture {
    name: "EMPTY-INDEX",
    media_type: "application/vnd.oci.image.index.v1+json",
    bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
};

/// F:IMG-NO-LAYERS
pub const IMG_NO_LAYERS: Fixture = Fixture { name: "IMG-NO-LAYERS", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","size":151},"layers":[]}"# };

/// F:IMG-DATA-FIELD
pub const IMG_DATA_FIELD: Fixture = Fixture { name: "IMG-DATA-FIELD", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.data.v1","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}]}"# };

/// F:IMG-EXTRA-FIELDS
pub const IMG_EXTRA_FIELDS: Fixture = Fixture { name: "IMG-EXTRA-FIELDS", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","size":151},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","size":32,"newField":{"a":[1,2.5,null]}}],"x-unknown":{"b":"é"}}"#.as_bytes() };

/// F:INDEX-NESTED
pub const INDEX_NESTED: Fixture = Fixture { name: "INDEX-NESTED", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:a16793e9c91f50d0f9bb42158e2d7f869ec385043972140c274dbe7339f9beb0","size":491},{"mediaType":"application/xml","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}]}"# };

/// F:INDEX-SHA512
pub const INDEX_SHA512: Fixture = Fixture { name: "INDEX-SHA512", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha512:b909bee7b86cfc385104cd5360717026b1eb00a525eb93b910419a1dba1ce1539a39207ac2668c6116d3ac79c7c4602a766c4e94cc09fd1357381c60439e680b","size":400}]}"# };

/// F:DOCKER-LIST
pub const DOCKER_LIST: Fixture = Fixture { name: "DOCKER-LIST", media_type: "application/vnd.docker.distribution.manifest.list.v2+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":522,"digest":"sha256:140a959abeb4d013f37c4f65fc534a79a9711ae95fd7c9c998a1a6d49a8b7f4d","platform":{"architecture":"amd64","os":"linux"}}]}"# };

/// F:NOTATION-ENVELOPE
pub const NOTATION_ENVELOPE: Fixture = Fixture {
    name: "NOTATION-ENVELOPE",
    media_type: "application/jose+json",
    bytes: br#"{"payload":"e30","protected":"e30","header":{},"signature":"AA"}"#,
};

/// F:NOTATION-SIG
pub const NOTATION_SIG: Fixture = Fixture { name: "NOTATION-SIG", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.cncf.notary.signature","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/jose+json","digest":"sha256:b1b293325f5438d3d7a1f58711d40dc9662e3bc150bc4166e765d62fe0ba3a6f","size":64}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"io.cncf.notary.x509chain.thumbprint#S256":"[\"0000000000000000000000000000000000000000000000000000000000000000\"]"}}"# };

/// F:NOTATION-OLD-CONFIG
pub const NOTATION_OLD_CONFIG: Fixture =
    Fixture { name: "NOTATION-OLD-CONFIG", media_type: "application/vnd.cncf.notary.signature", bytes: br#"{}"# };

/// F:NOTATION-SIG-OLD
pub const NOTATION_SIG_OLD: Fixture = Fixture { name: "NOTATION-SIG-OLD", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.cncf.notary.signature","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/jose+json","digest":"sha256:b1b293325f5438d3d7a1f58711d40dc9662e3bc150bc4166e765d62fe0ba3a6f","size":64}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400}}"# };

/// F:COSIGN-PAYLOAD
pub const COSIGN_PAYLOAD: Fixture = Fixture { name: "COSIGN-PAYLOAD", media_type: "application/vnd.dev.cosign.simplesigning.v1+json", bytes: br#"{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a"},"type":"cosign container image signature"},"optional":null}"# };

/// F:COSIGN-CONFIG
pub const COSIGN_CONFIG: Fixture = Fixture { name: "COSIGN-CONFIG", media_type: "application/vnd.oci.image.config.v1+json", bytes: br#"{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:0ce00cb4aef5ff789c800c587815524a5e8c030800e6ad7b3ae396f8a210a092"]}}"# };

/// F:COSIGN-SIG
pub const COSIGN_SIG: Fixture = Fixture { name: "COSIGN-SIG", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:a2cd267e1506511b09c771487a7e5b936358eaaff788c11aa693f09411a340bd","size":153},"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"sha256:0ce00cb4aef5ff789c800c587815524a5e8c030800e6ad7b3ae396f8a210a092","size":216,"annotations":{"dev.cosignproject.cosign/signature":"AA=="}}]}"# };

/// F:COSIGN-BUNDLE-BLOB
pub const COSIGN_BUNDLE_BLOB: Fixture = Fixture {
    name: "COSIGN-BUNDLE-BLOB",
    media_type: "application/vnd.dev.sigstore.bundle.v0.3+json",
    bytes: br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}"#,
};

/// F:COSIGN-BUNDLE
pub const COSIGN_BUNDLE: Fixture = Fixture { name: "COSIGN-BUNDLE", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"},"layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:f2168ec310ea3d35dc929b480c85a91c21775cbbf36db3a37e041e5fe815f586","size":61}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a","size":400},"annotations":{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"https://example.com/predicate/v1","org.opencontainers.image.created":"2025-01-01T00:00:00Z"}}"# };

/// F:HELM-CONFIG
pub const HELM_CONFIG: Fixture = Fixture {
    name: "HELM-CONFIG",
    media_type: "application/vnd.cncf.helm.config.v1+json",
    bytes: br#"{"name":"demo","version":"1.2.3+build","apiVersion":"v2"}"#,
};

/// F:HELM-PROV
pub const HELM_PROV: Fixture =
    Fixture { name: "HELM-PROV", media_type: "application/vnd.cncf.helm.chart.provenance.v1.prov", bytes: b"prov\n" };

/// F:HELM-CHART
pub const HELM_CHART: Fixture = Fixture { name: "HELM-CHART", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:2312dad02e0a6b4653c9f13f8f4a64d9091fe93d5c70c267972bb427e8cb3d12","size":57},"layers":[{"mediaType":"application/vnd.cncf.helm.chart.provenance.v1.prov","digest":"sha256:5e46e9800688422c3ef42fc0922e3405b352eb7db6c68f489205ec06afb6a53f","size":5},{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","size":32}],"annotations":{"org.opencontainers.image.title":"demo","org.opencontainers.image.version":"1.2.3+build"}}"# };

/// F:REF-NO-SIZE
pub const REF_NO_SIZE: Fixture = Fixture { name: "REF-NO-SIZE", media_type: "application/vnd.oci.image.manifest.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.sbom.v1","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a"}}"# };

/// F:STALE-FALLBACK
pub const STALE_FALLBACK: Fixture = Fixture { name: "STALE-FALLBACK", media_type: "application/vnd.oci.image.index.v1+json", bytes: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:5f051d0053028f92989a449733fb266f02b90cfce66d2a726268701230e527bd","size":397,"artifactType":"application/vnd.oci.empty.v1+json"},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:a03f2386ae06b21109577020844df367857b72c2fcce384c1896fed98a89c82b","size":5}]}"# };

/// F:DOCKER-MANIFEST-JSON
pub const DOCKER_MANIFEST_JSON: Fixture = Fixture { name: "DOCKER-MANIFEST-JSON", media_type: "", bytes: br#"[{"Config":"83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2.json","RepoTags":["example/app:v1"],"Layers":["0000000000000000000000000000000000000000000000000000000000000001/layer.tar"]}]"# };

/// F:DOCKER-REPOSITORIES
pub const DOCKER_REPOSITORIES: Fixture = Fixture {
    name: "DOCKER-REPOSITORIES",
    media_type: "",
    bytes: br#"{"example/app":{"v1":"0000000000000000000000000000000000000000000000000000000000000001"}}"#,
};

/// F:DOCKER-MANIFEST-JSON-NEW
pub const DOCKER_MANIFEST_JSON_NEW: Fixture = Fixture { name: "DOCKER-MANIFEST-JSON-NEW", media_type: "", bytes: br#"[{"Config":"blobs/sha256/83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2","RepoTags":["example/app:v1"],"Layers":["blobs/sha256/5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]}]"# };

/// Every fixture.
pub const ALL: [Fixture; 47] = [
    OCI_LAYOUT,
    EMPTY_JSON,
    EMPTY_BLOB,
    LAYER_TAR,
    LAYER_GZ,
    CONFIG_AMD64,
    CONFIG_ARM64,
    IMG_AMD64,
    IMG_ARM64,
    INDEX,
    REF_ARTIFACT,
    REF_OLD_CONFIG,
    REF_OLD,
    REF_INDEX,
    REF_MISSING,
    REFERRERS_RESPONSE,
    OCI_ARTIFACT_RC2,
    OCI_ARTIFACT_RC1,
    ORAS_ARTIFACT,
    DOCKER_S2,
    IMG_NO_MEDIATYPE,
    AMBIGUOUS,
    INDEX_JSON_STRICT,
    EMPTY_INDEX,
    IMG_NO_LAYERS,
    IMG_DATA_FIELD,
    IMG_EXTRA_FIELDS,
    INDEX_NESTED,
    INDEX_SHA512,
    DOCKER_LIST,
    NOTATION_ENVELOPE,
    NOTATION_SIG,
    NOTATION_OLD_CONFIG,
    NOTATION_SIG_OLD,
    COSIGN_PAYLOAD,
    COSIGN_CONFIG,
    COSIGN_SIG,
    COSIGN_BUNDLE_BLOB,
    COSIGN_BUNDLE,
    HELM_CONFIG,
    HELM_PROV,
    HELM_CHART,
    REF_NO_SIZE,
    STALE_FALLBACK,
    DOCKER_MANIFEST_JSON,
    DOCKER_REPOSITORIES,
    DOCKER_MANIFEST_JSON_NEW,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_fixture_hashes_to_its_table_row() {
        for (fixture, (name, size, sha256)) in ALL.iter().zip(TABLE) {
            assert_eq!((fixture.name, fixture.bytes.len()), (name, size));
            assert_eq!(fixture.digest().encoded(), sha256, "{name}");
        }
    }

    /// Name, size and digest, as the matrix has them.
    const TABLE: [(&str, usize, &str); 47] = [
        ("OCI-LAYOUT", 30, "18f0797eab35a4597c1e9624aa4f15fd91f6254e5538c1e0d193b2a95dd4acc6"),
        ("EMPTY-JSON", 2, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ("EMPTY-BLOB", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("LAYER-TAR", 1024, "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"),
        ("LAYER-GZ", 32, "a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"),
        ("CONFIG-AMD64", 151, "83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2"),
        ("CONFIG-ARM64", 151, "4c7ac54147d72582ed2ed07e970e64661a5b90ef4184076228a2fc34286a2846"),
        ("IMG-AMD64", 400, "54d2dd4875d66d1caa19a65ce44f6deefc02ac39f0054f6fa254d7fbc1fae53a"),
        ("IMG-ARM64", 397, "5f051d0053028f92989a449733fb266f02b90cfce66d2a726268701230e527bd"),
        ("INDEX", 491, "a16793e9c91f50d0f9bb42158e2d7f869ec385043972140c274dbe7339f9beb0"),
        ("REF-ARTIFACT", 633, "7e2114b52a61fcaf5956656e1a4be34aba8523a713fc3311b58e0bdd3f9889b5"),
        ("REF-OLD-CONFIG", 7, "a0da1fce57d0e4f9f0ae4e4cbe040d34dcc046255c6c8d18e97f55aaed0655f0"),
        ("REF-OLD", 552, "0f44084f66286d45dba82f6468ab18591f423d77e2752b4e330acce51acbc3f6"),
        ("REF-INDEX", 294, "5e77388dadcdcff4a6e64a6cbbdbb785ee250b72f034caa70fb500404faceef2"),
        ("REF-MISSING", 592, "3b1cfa2c1af7cd0426caf36c6901d42d1d52f8c7c1e2396367ff3d5ceedbb4a0"),
        ("REFERRERS-RESPONSE", 736, "ece107a410fe25985a3c54b27167deaf45993132ce348736952896437e8632a9"),
        ("OCI-ARTIFACT-RC2", 502, "5259cf0625faeb3453c47f54b5acdc80f4289ef06787d32d643b2b97df96b03b"),
        ("OCI-ARTIFACT-RC1", 424, "b92d4a4a1b5b04bddb2dcbe585cd418af4603c28632b9b3c864d38339530c9aa"),
        ("ORAS-ARTIFACT", 479, "5fac1c3540c4df4da4c5b8be7f776ba91002add288fa4185963e44121772df27"),
        ("DOCKER-S2", 522, "140a959abeb4d013f37c4f65fc534a79a9711ae95fd7c9c998a1a6d49a8b7f4d"),
        ("IMG-NO-MEDIATYPE", 343, "331a97879924510ed092de24f72ef95c401c5a7c5a3c34be889bbebda9fb6f1a"),
        ("AMBIGUOUS", 510, "fd9a47450c7161e70f1a085261cb8fdeccf8d8a843b59eba4815a83892b3cf2a"),
        ("INDEX.JSON-STRICT", 496, "45b6afad96bd95210009be5e2d7f4b8d0011da35aa75c68642cdcdab753cdcce"),
        ("EMPTY-INDEX", 88, "dff9de10919148711140d349bf03f1a99eb06f94b03e51715ccebfa7cdc518e2"),
        ("IMG-NO-LAYERS", 248, "db38618db7843d385be1463172faa5de9b1cde8beaa488618b19b8de457a7d6c"),
        ("IMG-DATA-FIELD", 457, "acc74306d241f7567ac0870c3096311e42577f83f756911cf4a3b465e904257d"),
        ("IMG-EXTRA-FIELDS", 453, "162b738bea5b90b0028a25fa0bda0284ae7b7a80d97487609dcdf5b92122068c"),
        ("INDEX-NESTED", 361, "eae1852e030af205eef252d66b83b57145331986d405520bef146584b1150465"),
        ("INDEX-SHA512", 304, "90732322e371cb8a1cc8458d8d9e783683593b82c221a91e1b2d2827cc434fac"),
        ("DOCKER-LIST", 317, "92aa840f5089e8d1c587c2ffc3e4eaf920f922fb889ab8ba49d5f90c74adfe4c"),
        ("NOTATION-ENVELOPE", 64, "b1b293325f5438d3d7a1f58711d40dc9662e3bc150bc4166e765d62fe0ba3a6f"),
        ("NOTATION-SIG", 719, "ec615441a3a635d207993c3b9d8389de71a935fa47c61f8aedd61a54ee64d645"),
        ("NOTATION-OLD-CONFIG", 2, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ("NOTATION-SIG-OLD", 536, "4cf79ca74ef5f71798ca5fc5822a43f129cd680bdc59b3bf18c5d143a2f9aae4"),
        ("COSIGN-PAYLOAD", 216, "0ce00cb4aef5ff789c800c587815524a5e8c030800e6ad7b3ae396f8a210a092"),
        ("COSIGN-CONFIG", 153, "a2cd267e1506511b09c771487a7e5b936358eaaff788c11aa693f09411a340bd"),
        ("COSIGN-SIG", 466, "97366d4f7d121e3e377c8a913affa7b8cf22732f30d1567ecb197a9a164afe7d"),
        ("COSIGN-BUNDLE-BLOB", 61, "f2168ec310ea3d35dc929b480c85a91c21775cbbf36db3a37e041e5fe815f586"),
        ("COSIGN-BUNDLE", 873, "a1d7e659b37142bc2245758bfab982c64fe897320095c30d27f174551fe7f153"),
        ("HELM-CONFIG", 57, "2312dad02e0a6b4653c9f13f8f4a64d9091fe93d5c70c267972bb427e8cb3d12"),
        ("HELM-PROV", 5, "5e46e9800688422c3ef42fc0922e3405b352eb7db6c68f489205ec06afb6a53f"),
        ("HELM-CHART", 671, "cb5518b10736cdbbcdeecdc9c8fdd0f74cdcf6fffad99242f07f6bb1c92292c9"),
        ("REF-NO-SIZE", 581, "02edb7c1b2f39369c8b9705c6687019c58227fd2eecf9add83fe15b3aeefdfaa"),
        ("STALE-FALLBACK", 442, "43ed81161b22c5d33102f62f97e7d12d14be664b1e16c418efc8b787721f53fa"),
        ("DOCKER-MANIFEST-JSON", 202, "e2f82bd0234072537dc3e4137d2719110cb64a825f05ce24e7ba39de90de8432"),
        ("DOCKER-REPOSITORIES", 89, "a2c7298b5d6f9743814372aac7730648285d3cdb6b9bfe3e25c86615142a2566"),
        ("DOCKER-MANIFEST-JSON-NEW", 213, "599e7ece33d6f108d4272e8fae152519e7816c3147e2cb26037b7c7245ebcaf1"),
    ];
}
