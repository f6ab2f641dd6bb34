//! Docker archives without a layout in them are read in place, and every archive gives the same layout each time.
#![allow(clippy::unwrap_used)] // What draws archives for tests may stop a test.

use std::collections::BTreeMap;
use std::io::Write;

use ocistow_layout::descriptor::{IMAGE_NAME, REF_NAME};
use ocistow_layout::json::{self, Array, Object};
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Access, Blob, Descriptor, Digest, Found, Kind, Marker, Result, Source, Unwatched, checked};
use ocistow_testkit::fixtures::{
    CONFIG_AMD64, CONFIG_ARM64, DOCKER_MANIFEST_JSON, DOCKER_MANIFEST_JSON_NEW, DOCKER_REPOSITORIES, Fixture, LAYER_GZ,
    LAYER_TAR,
};

const CONFIG: &str = "83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2.json";
const LAYER: &str = "0000000000000000000000000000000000000000000000000000000000000001/layer.tar";

/// A tar being drawn.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(mut self, flag: u8, name: &str, target: &str, body: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::new(flag));
        header.set_mode(0o644);
        header.set_size(body.len() as u64);
        // As it is: the crate would refuse what is hostile.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, body: &[u8]) -> Self {
        self.member(b'0', name, "", body)
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.member(b'2', name, target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    fn open(self) -> Result<Box<dyn Source>> {
        opened(&self.end())
    }

    fn refused(self) -> Kind {
        self.open().map(|source| source.location().to_owned()).unwrap_err().kind()
    }
}

/// An archive of these bytes, opened. What is open can be read though its name is gone.
fn opened(bytes: &[u8]) -> Result<Box<dyn Source>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    ocistow_layout::open(file.path(), &Unwatched)
}

/// C-TAR-CLASSIC
fn classic() -> Tar {
    Tar::default()
        .file(CONFIG, CONFIG_AMD64.bytes)
        .file(&LAYER.replace("layer.tar", "VERSION"), b"1.0")
        .file(LAYER, LAYER_TAR.bytes)
        .file("manifest.json", DOCKER_MANIFEST_JSON.bytes)
        .file("repositories", DOCKER_REPOSITORIES.bytes)
}

/// An archive of one image: its config as `c`, and what manifest.json says of it.
fn one(config: &[u8], image: &str) -> Tar {
    Tar::default().file("c", config).file("manifest.json", format!("[{{\"Config\":\"c\",{image}}}]").as_bytes())
}

/// A config of layers with these contents.
fn config(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
    format!("{{\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}", ids.join(",")).into_bytes()
}

fn entries(source: &dyn Source) -> Vec<Descriptor> {
    source.index().unwrap().descriptors().unwrap().into_iter().cloned().collect()
}

/// Config and layers of a manifest, which has to be what its descriptor says.
fn parts(source: &dyn Source, manifest: &Descriptor) -> (Descriptor, Vec<Descriptor>) {
    let bytes = checked::read(source, &manifest.digest, manifest.size).unwrap().unwrap();
    assert_eq!(bytes.len() as u64, manifest.size);
    let text = String::from_utf8(bytes).unwrap();
    let members: Object = json::parse(&text).unwrap();
    let layers: Array = json::parse(members.get("layers").unwrap().get()).unwrap();
    let config = Descriptor::parse(members.get("config").unwrap().get()).unwrap();
    (config, layers.0.iter().map(|layer| Descriptor::parse(layer.get()).unwrap()).collect())
}

fn verified(source: &dyn Source, part: &Descriptor) -> std::result::Result<(), Kind> {
    let content = source.open(&part.digest).unwrap().unwrap();
    let blob = Blob { digest: part.digest.clone(), size: part.size };
    checked::verify(&blob, content, &Unwatched).map_err(|why| why.kind())
}

/// The first image's layers, if every one of them is what it is said to be.
fn layers(tar: Tar) -> std::result::Result<Vec<String>, Kind> {
    let source = tar.open().map_err(|why| why.kind())?;
    let (_, layers) = parts(&*source, &entries(&*source)[0]);
    layers.iter().try_for_each(|layer| verified(&*source, layer))?;
    Ok(layers.iter().map(|layer| layer.media_type.rsplit('.').next().unwrap().to_owned()).collect())
}

/// All blobs of a source, verified.
fn blobs(source: &dyn Source) -> BTreeMap<Digest, Vec<u8>> {
    let mut blobs = BTreeMap::new();
    let read = |digest: &Digest| checked::read(source, digest, u64::MAX).unwrap().unwrap();
    source
        .survey(&mut |found| match found {
            Found::Blob(blob) => drop(blobs.insert(blob.digest.clone(), read(&blob.digest))),
            other => panic!("{other:?}"),
        })
        .unwrap();
    blobs
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// C-TAR-CLASSIC, ARCHIVE-2, ARCHIVE-11, DOCKER-COMPAT-10
#[test]
fn a_classic_archive_keeps_its_image_id_and_name() {
    let source = classic().open().unwrap();
    let index = source.index().unwrap();
    let config = CONFIG_AMD64.descriptor();
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{},\
         \"layers\":[{}]}}",
        config.text(),
        LAYER_TAR.descriptor().text()
    );
    let digest = Digest::of(manifest.as_bytes());
    assert_eq!(
        String::from_utf8_lossy(index.bytes()),
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[\
             {{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{digest}\",\"size\":{},\
             \"platform\":{{\"architecture\":\"amd64\",\"os\":\"linux\"}},\"annotations\":{{\
             \"{IMAGE_NAME}\":\"example/app:v1\",\"{REF_NAME}\":\"v1\"}}}}]}}",
            manifest.len()
        )
    );
    let expected = [manifest.as_bytes(), CONFIG_AMD64.bytes, LAYER_TAR.bytes];
    let expected: BTreeMap<Digest, Vec<u8>> =
        expected.iter().map(|bytes| (Digest::of(bytes), bytes.to_vec())).collect();
    assert_eq!(blobs(&*source), expected);
    assert_eq!(config.digest.encoded(), CONFIG.trim_end_matches(".json"));
    assert_eq!((source.marker(), source.access(), source.generated()), (Marker::Right, Access::Random, true));
    let (mut names, absent) = (Vec::new(), Digest::of(b"absent"));
    source.names(&mut |digest| names.push(digest)).unwrap();
    assert_eq!(names, expected.into_keys().collect::<Vec<_>>());
    assert!(source.open(&absent).unwrap().is_none());
    assert_eq!(source.size(&absent).unwrap(), None);
    assert_eq!(source.size(&digest).unwrap(), Some(manifest.len() as u64));
}

/// C-TAR-SWAP, ARCHIVE-13
#[test]
fn swapped_layers_are_found_by_whoever_reads_them() {
    for (a, b) in [(&b"lower"[..], &b"upper"[..]), (b"lower", b"longer")] {
        let swapped = one(&config(&[a, b]), r#""Layers":["1","2"]"#).file("1", b).file("2", a);
        let source = swapped.open().unwrap();
        let (_, parts) = parts(&*source, &entries(&*source)[0]);
        let found: Vec<_> = parts.iter().map(|part| verified(&*source, part)).collect();
        assert_eq!(found, [Err(Kind::Integrity), Err(Kind::Integrity)]);
        let right = one(&config(&[a, b]), r#""Layers":["1","2"]"#).file("1", a).file("2", b);
        assert_eq!(layers(right), Ok(vec!["tar".into(), "tar".into()]));
        let (a, b) = (gzip(a), gzip(b));
        let packed = one(&config(&[b"lower", b"upper"]), r#""Layers":["1","2"]"#).file("1", &b).file("2", &a);
        assert_eq!(packed.refused(), Kind::Integrity);
    }
}

/// ARCHIVE-14
#[test]
fn compressed_layers_keep_their_bytes_and_say_how_they_are_packed() {
    let layer = LAYER_TAR.bytes;
    let said = r#""Layers":["l"]"#;
    let kind = |layer: &[u8]| layers(one(&config(&[LAYER_TAR.bytes]), said).file("l", layer));
    assert_eq!(kind(layer), Ok(vec!["tar".into()]));
    assert_eq!(kind(LAYER_GZ.bytes), Ok(vec!["tar+gzip".into()]));
    assert_eq!(kind(&[gzip(&layer[..512]), gzip(&layer[512..])].concat()), Ok(vec!["tar+gzip".into()]));
    assert_eq!(kind(&zstd::encode_all(layer, 1).unwrap()), Ok(vec!["tar+zstd".into()]));
    let source = one(&config(&[layer]), said).file("l", LAYER_GZ.bytes).open().unwrap();
    assert!(blobs(&*source).contains_key(&LAYER_GZ.digest()));
    assert_eq!(kind(&gzip(b"something else")), Err(Kind::Integrity));
    assert_eq!(kind(&LAYER_GZ.bytes[..LAYER_GZ.bytes.len() - 4]), Err(Kind::Integrity), "cut");
}

/// ARCHIVE-12
#[test]
fn names_are_kept_as_they_are_and_their_absence_too() {
    let said = |tags: &str| {
        let source = one(CONFIG_AMD64.bytes, &format!("{tags}\"Layers\":[\"l\"]")).file("l", LAYER_TAR.bytes);
        let entries = entries(&*source.open().unwrap());
        let name = |entry: &Descriptor| {
            let [image, tag] = [IMAGE_NAME, REF_NAME].map(|key| entry.annotations.get(key).map_or("-", |name| name));
            format!("{image} {tag}")
        };
        entries.iter().map(name).collect::<Vec<_>>()
    };
    for none in ["", r#""RepoTags":null,"#, r#""RepoTags":[],"#, r#""RepoTags":[""],"#] {
        assert_eq!(said(none), ["- -"], "{none}");
    }
    assert_eq!(
        said(r#""RepoTags":["a/b:2","alpine:3","host:5000/a/b:1","a/b:2","host:5000/a"],"#),
        ["a/b:2 2", "alpine:3 3", "host:5000/a/b:1 1", "- host:5000/a"]
    );
}

/// ARCHIVE-12
#[test]
fn images_share_layers_and_keep_the_order_of_manifest_json() {
    let manifest = r#"[{"Config":"arm","RepoTags":["z/arm:1"],"Layers":["l"]},
        {"Config":"amd","RepoTags":["a/amd:1"],"Layers":["l"],"Parent":"sha256:00"},
        {"Config":"arm","RepoTags":null,"Layers":["again"]}]"#;
    let source = Tar::default()
        .file("manifest.json", manifest.as_bytes())
        .file("arm", CONFIG_ARM64.bytes)
        .file("amd", CONFIG_AMD64.bytes)
        .symlink("again", "l")
        .file("l", LAYER_TAR.bytes);
    let source = source.open().unwrap();
    let entries = entries(&*source);
    let configs: Vec<Digest> = entries.iter().map(|entry| parts(&*source, entry).0.digest).collect();
    assert_eq!(configs, [CONFIG_ARM64, CONFIG_AMD64, CONFIG_ARM64].map(|config: Fixture| config.digest()));
    assert_eq!(entries[0].digest, entries[2].digest);
    let platforms: Vec<String> =
        entries.iter().map(|entry| entry.platform.as_ref().unwrap().architecture.clone()).collect();
    assert_eq!(platforms, ["arm64", "amd64", "arm64"]);
    assert_eq!(blobs(&*source).len(), 5, "two manifests, two configs, one layer");
}

/// ARCHIVE-7, 4.12
#[test]
fn links_are_followed_inside_the_archive_only() {
    let tar = || one(&config(&[b"layer"]), r#""Layers":["deep/link"]"#);
    let there = Ok(vec!["tar".to_owned()]);
    assert_eq!(layers(tar().symlink("deep/link", "../l").file("l", b"layer")), there);
    assert_eq!(layers(tar().member(b'1', "deep/link", "l", b"").file("l", b"layer")), there);
    assert_eq!(layers(tar().file("l", b"layer").symlink("m", "./l").symlink("deep/link", "../m")), there);
    assert_eq!(layers(tar().file("deep/link", b"layer").member(b'1', "deep/link", "deep/link", b"")), there);
    assert_eq!(layers(tar().symlink("deep/link", "../gone")), Err(Kind::Incomplete));
    for hostile in ["../../l", "/l", "link", "../c\\"] {
        assert_eq!(layers(tar().symlink("deep/link", hostile).file("l", b"layer")), Err(Kind::Integrity), "{hostile}");
    }
    assert_eq!(layers(tar().file("deep/link", b"layer").symlink("deep/link", "../l")), Err(Kind::Integrity));
    let two = tar().symlink("deep/link", "../l").symlink("deep/link", "../c").file("l", b"layer");
    assert_eq!(layers(two), Err(Kind::Integrity));
    let chain = |n: usize| {
        let links = (0..n).fold(tar(), |tar, at| tar.symlink(&format!("deep/{at}"), &(at + 1).to_string()));
        let links = links.symlink("deep/link", "0").file(&format!("deep/{n}"), b"layer");
        layers(links)
    };
    assert_eq!(chain(15), there);
    assert_eq!(chain(16), Err(Kind::Integrity));
    let linked = Tar::default().symlink("manifest.json", "m").file("m", br#"[{"Config":"c"}]"#).file("c", b"{}");
    assert_eq!(entries(&*linked.open().unwrap()).len(), 1);
}

/// ARCHIVE-14, 4.15
#[test]
fn paths_are_taken_literally_once_cleaned() {
    let hex = Digest::of(b"x").encoded();
    for path in
        ["c.json", "./a//c.json", &format!("sha256:{hex}"), &format!("blobs/sha256/{hex}"), "blobs/sha256/x.tar"]
    {
        let clean = path.trim_start_matches("./").replace("//", "/");
        let manifest = format!("[{{\"Config\":\"{path}\",\"Layers\":[\"w\\\\layer.tar\"]}}]");
        let tar = Tar::default()
            .file(&clean, CONFIG_AMD64.bytes)
            .file("./w/layer.tar", LAYER_TAR.bytes)
            .file("manifest.json", manifest.as_bytes());
        let source = tar.open().unwrap();
        assert_eq!(parts(&*source, &entries(&*source)[0]).0.digest, CONFIG_AMD64.digest(), "{path}");
    }
    let new = Tar::default()
        .file(&CONFIG_AMD64.digest().path(), CONFIG_AMD64.bytes)
        .file(&LAYER_TAR.digest().path(), LAYER_TAR.bytes)
        .file("manifest.json", DOCKER_MANIFEST_JSON_NEW.bytes);
    assert_eq!(
        opened(&new.end()).unwrap().index().unwrap().bytes(),
        classic().open().unwrap().index().unwrap().bytes()
    );
}

/// ARCHIVE-2
#[test]
fn a_layout_in_the_archive_wins() {
    let entry = format!(r#"{{"mediaType":"a/b","digest":"{}","size":1}}"#, Digest::of(b"x"));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    let source = classic().file("index.json", index.as_bytes()).file("oci-layout", ocistow_layout::source::OCI_LAYOUT);
    let source = source.open().unwrap();
    assert_eq!((source.index().unwrap().bytes(), source.generated()), (index.as_bytes(), false));
    assert_eq!(Tar::default().file("a", b"").refused(), Kind::NotFound);
    let directory = classic().member(b'5', "index.json/", "", b"");
    assert_eq!(directory.refused(), Kind::Integrity);
}

/// ARCHIVE-12
#[test]
fn a_layer_that_only_its_maker_may_hand_out_is_known_for_that() {
    let (own, foreign) = (&b"own"[..], &b"foreign"[..]);
    let compressed = Digest::of(b"compressed");
    let source = |media_type: &str| {
        format!(
            r#""Layers":["o","f"],"LayerSources":{{"{}":{{"mediaType":"{media_type}","size":77,"digest":"{compressed}","urls":["https://a/\u0022b"]}}}}"#,
            Digest::of(foreign)
        )
    };
    let docker = source("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let with = |image: &str| one(&config(&[own, foreign]), image).file("o", own);
    let told = |tar: Tar| {
        let source = tar.open().unwrap();
        let (_, layers) = parts(&*source, &entries(&*source)[0]);
        verified(&*source, &layers[0]).unwrap();
        let text = layers[1].text().to_owned();
        (source.size(&layers[1].digest).unwrap(), text)
    };
    let urls = r#""urls":["https://a/\"b"]"#;
    let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let absent = format!(r#"{{"mediaType":"{kind}+gzip","digest":"{compressed}","size":77,{urls}}}"#);
    assert_eq!(told(with(&docker)), (None, absent), "it is where its maker says");
    let there = format!(r#"{{"mediaType":"{kind}","digest":"{}","size":7,{urls}}}"#, Digest::of(foreign));
    assert_eq!(told(with(&docker).file("f", foreign)), (Some(7), there), "it is here, unpacked");
    let plain = source("application/vnd.docker.image.rootfs.diff.tar.gzip");
    assert!(told(with(&plain).file("f", foreign)).1.contains("\"application/vnd.oci.image.layer.v1.tar\""));
    assert_eq!(with(&plain).refused(), Kind::Incomplete, "anybody might have put it here");
    for wrong in ["[]", "{\"x\":{}}", "1", &format!("{{\"{compressed}\":{{}}}}")] {
        let image = format!(r#""Layers":["o","f"],"LayerSources":{wrong}"#);
        assert_eq!(with(&image).file("f", foreign).refused(), Kind::Integrity, "{wrong}");
    }
    assert!(with(r#""Layers":["o","f"],"LayerSources":null"#).file("f", foreign).open().is_ok());
}

/// ARCHIVE-16, 4.10
#[test]
fn a_layout_that_lists_nothing_leaves_it_to_manifest_json() {
    let expected = classic().open().unwrap().index().unwrap().bytes().to_vec();
    let marker = ocistow_layout::source::OCI_LAYOUT;
    let empty = r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}"#;
    for index in
        ["", " \n", "null", "[]", "{}", r#"{"schemaVersion":2,"manifests":null}"#, empty, r#"{"manifests":[ ]}"#]
    {
        let tar = classic().file("index.json", index.as_bytes()).file("oci-layout", marker).end();
        for bytes in [gzip(&tar), tar] {
            let source = opened(&bytes).unwrap();
            assert_eq!((source.index().unwrap().bytes(), source.generated()), (&expected[..], true), "{index}");
        }
        let passed = ocistow_layout::archive::pass(
            "-",
            &*classic().file("index.json", index.as_bytes()).end(),
            &ocistow_layout::Unwatched,
            &mut |_, _| Ok(()),
        );
        let passed = passed.unwrap();
        assert!(passed.holds_docker(), "{index}");
        let dir = tempfile::tempdir().unwrap();
        let transaction = Transaction::begin(&dir.path().join("in"), Default::default()).unwrap();
        let why = passed.staged(&transaction).map(drop).unwrap_err();
        assert_eq!(why.kind(), Kind::NotFound, "{index}");
        assert!(why.advice().is_some_and(|hint| hint.contains("docker-archive")), "{index}");
        let alone = Tar::default().file("index.json", index.as_bytes()).file("oci-layout", marker);
        assert!(!alone.open().is_ok_and(|source| source.generated()), "there is no manifest.json");
    }
    for index in ["{", "0", "\"\"", "[1]", r#"{"manifests":{}}"#, r#"{"manifests":[1]}"#] {
        let source = classic().file("index.json", index.as_bytes()).file("oci-layout", marker).open();
        let generated = source.map(|source| source.generated());
        assert_eq!(generated.ok(), Some(false), "what cannot be read is said: {index}");
    }
}

/// ARCHIVE-8, 4.14
#[test]
fn a_compressed_archive_is_read_like_a_plain_one() {
    let plain = classic().end();
    let expected = opened(&plain).unwrap();
    for packed in [gzip(&plain), zstd::encode_all(&*plain, 1).unwrap()] {
        let source = opened(&packed).unwrap();
        assert_eq!(source.index().unwrap().bytes(), expected.index().unwrap().bytes());
        assert_eq!(blobs(&*source), blobs(&*expected));
        assert_eq!(source.access(), Access::Random);
        assert!(opened(&packed[..packed.len() - 5]).is_err_and(|why| why.kind() == Kind::Integrity));
    }
}

/// ARCHIVE-13
#[test]
fn what_does_not_agree_is_refused() {
    let with = |image: &str| one(&config(&[b"layer"]), image).file("l", b"layer");
    assert!(with(r#""Layers":["l"]"#).open().is_ok());
    assert_eq!(with(r#""Layers":[]"#).refused(), Kind::Integrity);
    assert_eq!(with(r#""Layers":null"#).refused(), Kind::Integrity);
    assert_eq!(with(r#""Layers":["l","l"]"#).refused(), Kind::Integrity);
    assert_eq!(with(r#""Layers":["gone"]"#).refused(), Kind::Incomplete);
    assert_eq!(with(r#""Config":"gone","Layers":["l"]"#).refused(), Kind::Integrity);
    for path in ["../l", "/l", "..\\\\l", "C:\\\\l"] {
        assert_eq!(with(&format!("\"Layers\":[\"{path}\"]")).refused(), Kind::Integrity, "{path}");
    }
    assert_eq!(with(r#""RepoTags":"a:b","Layers":["l"]"#).refused(), Kind::Integrity);
    let configs: [&[u8]; 6] = [
        b"",
        b"[]",
        b"{\"rootfs\":[]}",
        b"{\"rootfs\":{\"diff_ids\":[\"x\"]}}",
        b"{\"rootfs\":{\"diff_ids\":[\"other:00\"]}}",
        b"{\"rootfs\":{\"diff_ids\":[1]}}",
    ];
    for config in configs {
        let tar = one(config, r#""Layers":["l"]"#).file("l", b"layer");
        assert_eq!(tar.refused(), Kind::Integrity, "{}", String::from_utf8_lossy(config));
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    for manifest in ["", "{}", "null", "[1]", "[{}]", "[{\"Config\":1}]", "[] x", &deep, &" ".repeat((8 << 20) + 1)] {
        let tar = Tar::default().file("manifest.json", manifest.as_bytes());
        assert_eq!(tar.refused(), Kind::Integrity, "{:.40}", manifest);
    }
    assert_eq!(entries(&*Tar::default().file("manifest.json", b"[]").open().unwrap()), []);
}

/// ARCHIVE-5
#[test]
fn hostile_members_are_refused_as_in_every_archive() {
    for name in ["../x", "/x", "a/../x", "a\\x", "C:x"] {
        assert_eq!(classic().file(name, b"").refused(), Kind::Integrity, "{name}");
    }
    for flag in [b'3', b'4', b'6', b'S'] {
        assert_eq!(classic().member(flag, "x", "", b"").refused(), Kind::Integrity, "{}", char::from(flag));
    }
    let mut cut = classic().end();
    cut.truncate(cut.len() - 1024);
    assert!(opened(&cut).is_err_and(|why| why.kind() == Kind::Integrity));
}

/// ARCHIVE-6, 4.13
#[test]
fn a_name_that_stands_twice_has_one_content() {
    assert_eq!(layers(classic().file(LAYER, LAYER_TAR.bytes)), Ok(vec!["tar".into()]));
    for other in [&[b'x'; 1024][..], b"shorter"] {
        assert_eq!(classic().file(LAYER, other).refused(), Kind::Integrity);
        assert_eq!(classic().file(CONFIG, other).refused(), Kind::Integrity);
        assert_eq!(classic().file("manifest.json", other).refused(), Kind::Integrity);
    }
    assert_eq!(layers(classic().file("repositories", b"{}")), Ok(vec!["tar".into()]), "nobody needs that one");
}

/// An enemy can say with few bytes what takes many to make.
#[test]
fn what_is_made_is_bounded() {
    let layer = Digest::of(b"");
    let ids = vec![format!("\"{layer}\""); 60_000].join(",");
    let config = format!("{{\"rootfs\":{{\"diff_ids\":[{ids}]}}}}");
    let list = vec!["\"l\""; 60_000].join(",");
    let tar = one(config.as_bytes(), &format!("\"Layers\":[{list}]")).file("l", b"");
    assert_eq!(tar.refused(), Kind::Integrity, "a manifest longer than anybody reads");
    let tags: Vec<String> = (0..300_000).map(|n| format!("\"a:{n}\"")).collect();
    let tar = one(b"{}", &format!("\"RepoTags\":[{}]", tags.join(",")));
    assert_eq!(tar.refused(), Kind::Integrity, "an index.json of 80 MB out of an archive of four");
    let image = r#"{"Config":"c","RepoTags":["#.to_owned() + &"\"a:1\",".repeat(3) + r#""a:2"]}"#;
    let many = format!("[{}]", vec![image; 1000].join(","));
    let source = Tar::default().file("c", b"{}").file("manifest.json", many.as_bytes()).open().unwrap();
    assert_eq!(entries(&*source).len(), 2);
}

/// Whatever is changed: an answer or an error, never a panic, and never wrong content.
#[test]
fn a_damaged_archive_is_refused_or_read_right() {
    let whole = classic().end();
    let at = whole.windows(9).position(|window| window == b"[{\"Config").unwrap();
    let mut refused = 0;
    for at in at..at + DOCKER_MANIFEST_JSON.bytes.len() {
        for with in [b'"', b'}', b'0', b'\\', 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = with;
            match opened(&bytes) {
                Ok(source) => drop(blobs(&*source)),
                Err(why) => {
                    assert!(matches!(why.kind(), Kind::Integrity | Kind::Incomplete), "{}", why.chain());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
