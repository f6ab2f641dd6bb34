//! Docker archives of all ages and makers, drawn with one and the same image in them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ocistow_layout::Digest;

/// The full name that every archive gives its image.
pub const NAME: &str = "example.com/team/app:1.0";

/// The members of an archive that may be drawn and changed before it is packed: name, type, where a link leads, content.
#[derive(Debug, Clone, Default)]
pub struct Archive(Vec<(String, u8, String, Vec<u8>)>);

impl Archive {
    /// With one more file.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.push((name.into(), b'0', String::new(), content.as_ref().to_vec()));
        self
    }

    /// With one more symbolic link.
    #[must_use]
    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.0.push((name.into(), b'2', target.into(), Vec::new()));
        self
    }

    /// Without the members of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(own, ..)| own != name);
        assert_ne!(before, self.0.len(), "there is no {name}");
        self
    }

    /// With other content in the members of this name.
    #[must_use]
    pub fn with(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let own: Vec<_> = self.0.iter_mut().filter(|(own, ..)| own == name).collect();
        assert!(!own.is_empty(), "there is no {name}");
        own.into_iter().for_each(|(.., old)| *old = content.as_ref().to_vec());
        self
    }

    /// With a text in the place of another in the members of this name.
    #[must_use]
    pub fn saying(self, name: &str, old: &str, new: &str) -> Self {
        let content = self.0.iter().find(|(own, ..)| own == name).map(|(.., content)| content.clone());
        let text = String::from_utf8(content.expect("it is there")).expect("it is text");
        assert!(text.contains(old), "{text}");
        self.with(name, text.replace(old, new))
    }

    /// The tar.
    pub fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, target, content) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            if *kind == b'2' {
                header.set_link_name(target).expect("it is short");
            }
            builder.append_data(&mut header, name, content.as_slice()).expect("memory takes it");
        }
        builder.into_inner().expect("memory takes it")
    }
}

/// The image: two layers, and the config that says what they are.
pub struct Image {
    /// The layers, uncompressed, the lowest first.
    pub layers: [Vec<u8>; 2],
    /// The config.
    pub config: Vec<u8>,
}

impl Image {
    /// The one image.
    pub fn new() -> Self {
        let layer = |name: &str| crate::tar::tar([(name, name.repeat(300).as_bytes())]);
        let layers = [layer("base"), layer("top")];
        let ids: Vec<String> = layers.iter().map(|layer| format!("{:?}", Digest::of(layer).to_string())).collect();
        let config = format!(
            r#"{{"architecture":"arm64","os":"linux","config":{{"Cmd":["/top"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ids.join(",")
        );
        Self { layers, config: config.into_bytes() }
    }

    /// The digest of its config, which is what Docker calls the image's ID.
    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// The hex digits of a layer's digest.
    fn hex(&self, layer: usize) -> String {
        Digest::of(&self.layers[layer]).encoded()
    }

    /// Docker 1.10 to 24: legacy IDs, a directory for each layer, `repositories`.
    pub fn graph_driver(&self) -> Archive {
        let config = format!("{}.json", self.id().encoded());
        let legacy = |layer: usize| format!("{layer}").repeat(64);
        let mut archive = Archive::default();
        for (at, layer) in self.layers.iter().enumerate() {
            let parent = if at == 0 { String::new() } else { format!(r#","parent":"{}""#, legacy(at - 1)) };
            archive = archive
                .file(&format!("{}/VERSION", legacy(at)), "1.0")
                .file(&format!("{}/json", legacy(at)), format!(r#"{{"id":"{}"{parent}}}"#, legacy(at)))
                .file(&format!("{}/layer.tar", legacy(at)), layer);
        }
        let layers = [0, 1].map(|at| format!("{}/layer.tar", legacy(at)));
        let archive = archive.file(&config, &self.config).file("manifest.json", listing(&config, &layers));
        archive.file("repositories", format!(r#"{{"example.com/team/app":{{"1.0":"{}"}}}}"#, legacy(1)))
    }

    /// The same where a layer lies in another image's directory, to which its own has a link.
    pub fn graph_driver_with_links(&self) -> Archive {
        let own = format!("{}/layer.tar", "0".repeat(64));
        let other = format!("{}/layer.tar", "a".repeat(64));
        let archive = self.graph_driver().without(&own).link(&own, &format!("../{other}"));
        archive.file(&other, &self.layers[0])
    }

    /// Docker before 1.10: what a graph driver writes, without manifest.json and configs.
    pub fn before_configs(&self) -> Archive {
        self.graph_driver().without("manifest.json").without(&format!("{}.json", self.id().encoded()))
    }

    /// Docker 25 and later with a graph driver: a layout of uncompressed layers, manifest.json, `repositories`.
    pub fn graph_driver_with_layout(&self) -> Archive {
        self.layout(&self.layers, "tar").file("repositories", "{}")
    }

    /// Docker with containerd's store: a layout of layers as they were pulled, and manifest.json.
    pub fn containerd_store(&self) -> Archive {
        self.layout(&self.layers.each_ref().map(|layer| gzip(layer)), "tar+gzip")
    }

    fn layout(&self, layers: &[Vec<u8>; 2], kind: &str) -> Archive {
        let path = |blob: &[u8]| format!("blobs/sha256/{}", Digest::of(blob).encoded());
        let described: Vec<String> = layers
            .iter()
            .map(|layer| {
                let (digest, size) = (Digest::of(layer), layer.len());
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.{kind}","digest":"{digest}","size":{size}}}"#
                )
            })
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{}]}}"#,
            self.id(),
            self.config.len(),
            described.join(",")
        );
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"annotations":{{"io.containerd.image.name":"{NAME}","org.opencontainers.image.ref.name":"1.0"}}}}]}}"#,
            Digest::of(manifest.as_bytes()),
            manifest.len()
        );
        let archive = Archive::default().file(&path(manifest.as_bytes()), &manifest);
        let archive = archive.file(&path(&self.config), &self.config);
        let archive = layers.iter().fold(archive, |archive, layer| archive.file(&path(layer), layer));
        let named = layers.each_ref().map(|layer| path(layer));
        archive
            .file("index.json", index)
            .file("manifest.json", listing(&path(&self.config), &named))
            .file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#)
    }

    /// skopeo, podman and buildah: layers by their digests, legacy directories with links to them.
    pub fn containers_image(&self) -> Archive {
        let (config, layers) =
            (format!("{}.json", self.id().encoded()), [0, 1].map(|at| format!("{}.tar", self.hex(at))));
        let mut archive = Archive::default();
        for (at, layer) in layers.iter().enumerate() {
            let legacy = format!("{at}").repeat(64);
            archive = archive
                .file(layer, &self.layers[at])
                .link(&format!("{legacy}/layer.tar"), &format!("../{layer}"))
                .file(&format!("{legacy}/VERSION"), "1.0");
        }
        archive.file(&config, &self.config).file("manifest.json", listing(&config, &layers)).file("repositories", "{}")
    }

    /// crane and kaniko: the config under its whole digest, layers in gzip.
    pub fn crane(&self) -> Archive {
        self.packed(&self.id().to_string(), |hex| format!("{hex}.tar.gz"))
    }

    /// jib: `config.json`.
    pub fn jib(&self) -> Archive {
        self.packed("config.json", |hex| format!("{hex}.tar.gz"))
    }

    /// Bazel's rules_oci: files in a directory of blobs, and yet no layout.
    pub fn rules_oci(&self) -> Archive {
        let config = format!("blobs/sha256/{}", self.id().encoded());
        self.packed(&config, |hex| format!("blobs/sha256/{hex}.tar.gz"))
    }

    fn packed(&self, config: &str, name: impl Fn(&str) -> String) -> Archive {
        let layers = self.layers.each_ref().map(|layer| gzip(layer));
        let names = layers.each_ref().map(|layer| name(&Digest::of(layer).encoded()));
        let archive = Archive::default().file(config, &self.config);
        let archive = names.iter().zip(&layers).fold(archive, |archive, (name, layer)| archive.file(name, layer));
        archive.file("manifest.json", listing(config, &names))
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

/// A manifest.json of one image.
fn listing(config: &str, layers: &[String; 2]) -> String {
    format!(r#"[{{"Config":"{config}","RepoTags":["{NAME}"],"Layers":["{}","{}"]}}]"#, layers[0], layers[1])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).expect("memory takes it");
    packer.finish().expect("memory takes it")
}
