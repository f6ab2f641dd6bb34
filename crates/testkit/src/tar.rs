//! A tar of plain files, the smallest there is: ustar, no times, no owners.

/// The bytes of a tar with these members, in this order. A name ending in `/` is a directory.
pub fn tar<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in members {
        out.extend_from_slice(&header(name, bytes.len()));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn header(name: &str, size: usize) -> [u8; 512] {
    let directory = name.ends_with('/');
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    // Names up to 100 bytes need no prefix; `blobs/sha512/<hex>` is longer.
    match name.len() {
        0..=100 => put(0, name),
        _ => {
            let slash = name[..name.len() - 1].rfind('/').expect("a long name has a directory");
            put(0, &name[slash + 1..]);
            put(345, &name[..slash]);
        }
    }
    put(100, if directory { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(156, if directory { "5" } else { "0" });
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
