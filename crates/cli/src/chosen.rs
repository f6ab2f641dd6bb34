//! The one manifest that is meant for a platform.

use std::collections::BTreeSet;

use ocistow_graph::facts::{Form, Shape};
use ocistow_graph::graph::read;
use ocistow_graph::{Facts, Selector, Target};
use ocistow_layout::descriptor::platform;
use ocistow_layout::json::{self, Object};
use ocistow_layout::{Descriptor, Error, Kind, Platform, Result, Source, checked};

/// The longest config read to learn its platform.
const MAX_CONFIG: u64 = 8 << 20;

/// The child of `target` for a platform, or itself if it is an image of that platform: the exact match, else the
/// first in index order. A child without a platform, or an image, is judged by its config; an index in an
/// index by what it holds. NotFound where nothing matches.
pub fn chosen(source: &dyn Source, target: Target, selector: &Selector) -> Result<Target> {
    let (node, _) = read(source, &target.descriptor);
    let facts = node.facts(&target.descriptor.digest)?;
    let none = || {
        let what = format!("could not find {selector} in {}", target.descriptor.digest);
        Error::new(Kind::NotFound, what)
    };
    if facts.form.shape() != Shape::Index {
        let own = runs_on(source, &target.descriptor, facts)?;
        return match own.as_ref().is_some_and(|platform| selector.matches(platform)) {
            true => Ok(target),
            false => {
                Err(none().because(own.map_or("it runs on no platform".into(), |own| format!("it runs on {own}"))))
            }
        };
    }
    let leaves = leaves(source, facts)?;
    let at = selector.choose(leaves.iter().map(|(_, platform)| platform.as_ref())).ok_or_else(|| {
        let there: Vec<String> =
            leaves.iter().filter_map(|(_, platform)| Some(platform.as_ref()?.to_string())).collect();
        none().because(format!("it has {}", if there.is_empty() { "no platforms".into() } else { there.join(", ") }))
    })?;
    let descriptor = leaves.into_iter().nth(at).map(|(descriptor, _)| descriptor).ok_or_else(none)?;
    Ok(Target { descriptor, places: Vec::new(), manifest: true })
}

/// The platform of an image: as its descriptor says, else as its config does. `None` for what is no image,
/// or has no config that can be read.
pub fn runs_on(source: &dyn Source, descriptor: &Descriptor, facts: &Facts) -> Result<Option<Platform>> {
    if descriptor.platform.is_some() {
        return Ok(descriptor.platform.clone());
    }
    let Some(config) = facts.config().filter(|config| is_image_config(&config.media_type)) else { return Ok(None) };
    let Some(bytes) = checked::read(source, &config.digest, MAX_CONFIG)? else { return Ok(None) };
    Ok(of_config(&bytes))
}

fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, ocistow_graph::facts::OCI_CONFIG | ocistow_graph::facts::DOCKER_CONFIG)
}

/// The platform an image's config says it is for.
fn of_config(bytes: &[u8]) -> Option<Platform> {
    let text = json::text(bytes).ok()?;
    let members: Object = json::parse(text).ok()?;
    members.get("os").or_else(|| members.get("architecture"))?;
    // The members of a platform stand at the top of a config, under the same names.
    let raw = serde_json::from_str(text).ok();
    platform(raw).ok().flatten()
}

/// What an index holds, in its order, indexes in it unfolded, each manifest once.
fn leaves(source: &dyn Source, index: &Facts) -> Result<Vec<(Descriptor, Option<Platform>)>> {
    let mut leaves = Vec::new();
    let mut seen = BTreeSet::from([index.digest.clone()]);
    let mut waiting: Vec<Descriptor> = index.children().cloned().collect();
    waiting.reverse();
    while let Some(child) = waiting.pop() {
        if child.platform.is_some() {
            leaves.push((child.clone(), child.platform));
            continue;
        }
        if Form::of(&child.media_type).is_none() || !seen.insert(child.digest.clone()) {
            continue;
        }
        // A child that is not there is a platform that was not carried.
        let (node, _) = read(source, &child);
        let Ok(facts) = node.facts(&child.digest) else { continue };
        if facts.form.shape() == Shape::Index {
            let inner: Vec<Descriptor> = facts.children().cloned().collect();
            waiting.extend(inner.into_iter().rev());
        } else {
            let platform = runs_on(source, &child, facts)?;
            leaves.push((child, platform));
        }
    }
    Ok(leaves)
}
