//! Docker's `manifest.json`, for `docker load` and `podman load`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ocistow_layout::{Digest, Error, Kind, Result, Source, json};

use crate::closure::{config_platform, is_attestation};
use crate::facts::{Facts, ManifestKind, Role};
use crate::graph::Graph;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::platform::Selector;

/// The file and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerManifest {
    /// The bytes of `manifest.json`.
    pub bytes: Vec<u8>,
    /// How many images are in it.
    pub images: usize,
    /// How many of them have no name: nothing in their entry is a full name.
    pub nameless: usize,
}

/// Makes `manifest.json` of the images among the plan's entries (ARCHIVE-10): each once, with every full
/// name it has. Artifacts are not in it. Usage where an index leaves several platforms.
pub fn docker_manifest(
    plan: &Plan,
    graph: &Graph,
    source: &dyn Source,
    platforms: &[Selector],
) -> Result<DockerManifest> {
    let carried: BTreeSet<&Digest> = plan.manifests.iter().map(|blob| &blob.digest).collect();
    let referrers = graph.edges().map(|edge| &edge.referrer);
    let no_root: HashSet<&Digest> = referrers.chain(graph.lists().iter().map(|list| &list.digest)).collect();
    let mut images: BTreeMap<&Digest, (Facts, BTreeSet<String>)> = BTreeMap::new();
    let mut order: Vec<&Digest> = Vec::new();
    for entry in plan.manifests_named() {
        let Some(root) = graph.manifest(&entry.descriptor.digest) else { continue };
        if no_root.contains(&root.digest) {
            continue;
        }
        let Some(image) = the_image(graph, source, root, &carried, platforms)? else { continue };
        let (_, names) = images.entry(&image.digest).or_insert_with(|| {
            order.push(&image.digest);
            (image.facts(), BTreeSet::new())
        });
        names.extend(entry.pair.key().image);
    }
    let mut elements = Vec::new();
    let mut nameless = 0;
    for (image, names) in order.iter().map(|digest| &images[*digest]) {
        let names: Vec<String> = names.iter().map(|name| json::quote(name)).collect();
        nameless += usize::from(names.is_empty());
        let tags = if names.is_empty() { "null".to_owned() } else { format!("[{}]", names.join(",")) };
        let config = image.config().map(|config| config.digest.path()).unwrap_or_default();
        let layers: Vec<String> = image.of_role(Role::Layer).map(|layer| json::quote(&layer.digest.path())).collect();
        let (config, layers) = (json::quote(&config), layers.join(","));
        elements.push(format!("{{\"Config\":{config},\"RepoTags\":{tags},\"Layers\":[{layers}]}}"));
    }
    Ok(DockerManifest { bytes: format!("[{}]", elements.join(",")).into_bytes(), images: elements.len(), nameless })
}

/// The one image a root stands for; `None` for artifacts.
fn the_image<'g>(
    graph: &'g Graph,
    source: &dyn Source,
    root: &'g Manifest,
    carried: &BTreeSet<&Digest>,
    platforms: &[Selector],
) -> Result<Option<&'g Manifest>> {
    let mut found: Vec<&Manifest> = Vec::new();
    let mut met = BTreeSet::new();
    let mut stack = vec![root];
    while let Some(manifest) = stack.pop() {
        if !met.insert(&manifest.digest) || !carried.contains(&manifest.digest) {
            continue;
        }
        match manifest.kind() {
            ManifestKind::Image => found.push(manifest),
            ManifestKind::Index => {
                for child in manifest.facts().children().filter(|child| !is_attestation(child)) {
                    let Some(own) = graph.manifest(&child.digest).filter(|own| !met.contains(&own.digest)) else {
                        continue;
                    };
                    let suits = || -> Result<bool> {
                        let platform = match &child.platform {
                            Some(platform) => Some((**platform).clone()),
                            None => config_platform(source, &own.facts())?,
                        };
                        Ok(platform.is_some_and(|it| platforms.iter().any(|selector| selector.matches(&it))))
                    };
                    if platforms.is_empty() || own.kind() == ManifestKind::Index || suits()? {
                        stack.push(own);
                    }
                }
            }
            ManifestKind::Artifact | ManifestKind::Other => {}
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => {
            let what = format!("could not put {} into manifest.json", root.digest);
            let why = format!("it has {} platforms, and Docker's form holds one", found.len());
            Err(Error::new(Kind::Usage, what).because(why).hint("choose one with --platform"))
        }
    }
}
