//! A look at XML that was written: whether it is well-formed, and what elements it has.

/// An element, as it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in order, unescaped.
    pub attributes: Vec<(String, String)>,
    /// The text right in it, unescaped.
    pub text: String,
}

impl Element {
    /// One attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The elements of an XML document without declarations, comments or sections, in the order they start. Panics
/// where it is not well-formed, or has any of those.
pub fn elements(text: &str) -> Vec<Element> {
    let allowed = |c: char| matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(allowed), "a character that XML has not");
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = text;
    loop {
        let (content, tag) = rest.split_once('<').unwrap_or((rest, ""));
        match open.last() {
            Some(at) => elements[*at].text += &unescaped(content),
            None => assert_eq!(content.trim(), "", "text outside of all elements"),
        }
        if tag.is_empty() {
            assert_eq!((open.len(), elements.is_empty()), (0, false), "it ends inside of an element");
            return elements;
        }
        if let Some(end) = tag.strip_prefix('/') {
            let (name, after) = end.split_once('>').expect("a tag ends");
            let at = open.pop().expect("what ends has started");
            assert_eq!(name, elements[at].name);
            rest = after;
            continue;
        }
        assert!(!open.is_empty() || elements.is_empty(), "a second root");
        let (name, mut after) = split_name(tag);
        let mut element = Element { name: name.to_owned(), attributes: Vec::new(), text: String::new() };
        let closed = loop {
            let spaced = after.trim_start();
            if let Some(after) = spaced.strip_prefix("/>") {
                rest = after;
                break true;
            }
            if let Some(after) = spaced.strip_prefix('>') {
                rest = after;
                break false;
            }
            assert_ne!(spaced.len(), after.len(), "attributes stand apart");
            let (key, value) = split_name(spaced);
            let value = value.strip_prefix("=\"").expect("an attribute has a value");
            let (value, next) = value.split_once('"').expect("a value ends");
            assert!(!value.contains('<') && element.attribute(key).is_none(), "{key}={value:?}");
            element.attributes.push((key.to_owned(), unescaped(value)));
            after = next;
        };
        if !closed {
            open.push(elements.len());
        }
        elements.push(element);
    }
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-:_".contains(c)).unwrap_or(text.len());
    assert!(
        text.starts_with(|c: char| c.is_ascii_alphabetic()),
        "{:?} is no name",
        text.chars().take(20).collect::<String>()
    );
    text.split_at(end)
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    assert!(!text.contains("]]>"), "the end of a section");
    for piece in pieces {
        let (entity, after) = piece.split_once(';').expect("an entity ends");
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            _ => panic!("an entity &{entity};"),
        });
        out.push_str(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_attributes_and_text() {
        let found = elements("<a x=\"1 &lt; 2\">t<b/>&amp;u<c-d>v</c-d></a>\n");
        let names: Vec<(&str, &str)> = found.iter().map(|it| (it.name.as_str(), it.text.as_str())).collect();
        assert_eq!(names, [("a", "t&u"), ("b", ""), ("c-d", "v")]);
        assert_eq!(found[0].attribute("x"), Some("1 < 2"));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let bad = [
            "",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a x=1/>",
            "<a x=\"<\"/>",
            "<a>&</a>",
            "<a>&x;</a>",
            "t<a/>",
            "<a x=\"\" x=\"\"/>",
            "<a>\u{0}</a>",
            "<!-- -->",
            "<a>]]></a>",
        ];
        for text in bad {
            assert!(std::panic::catch_unwind(|| elements(text)).is_err(), "{text:?}");
        }
    }
}
