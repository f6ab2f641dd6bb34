//! One member's headers: ustar, GNU long names and sizes, PAX records.

use crate::archive::tape::Tape;
use crate::checked::fill;

/// The unit of a tar.
pub const BLOCK: u64 = 512;
/// The longest set of PAX records taken.
pub const MAX_PAX: u64 = 1 << 20;
/// The longest name of a member, or target of a link, taken.
pub const MAX_NAME: usize = 4096;
/// The most headers taken: four million members that each need a second one for a long name.
pub const MAX_HEADERS: u64 = 8_000_000;
/// The most headers taken in front of one member, which needs three at most.
pub const MAX_AHEAD: u64 = 4_096;

/// What is known of a member before its content.
pub(super) struct Header {
    /// Where its header stands.
    pub at: u64,
    /// What it is, as tar says it.
    pub flag: u8,
    /// Its name, as it came.
    pub name: Vec<u8>,
    /// What it links to, as it came.
    pub target: Vec<u8>,
    /// The length of its content.
    pub size: u64,
    /// Its mode; that of a plain file where it cannot be read.
    pub mode: u32,
}

/// Something wrong at a place in the archive.
pub(super) struct Flaw {
    /// The byte the trouble starts at.
    pub at: u64,
    /// What it is.
    pub why: Why,
}

/// The two sorts of trouble.
pub(super) enum Why {
    /// The archive is wrong.
    Wrong(String),
    /// It could not be read.
    Unread(std::io::Error),
}

impl Flaw {
    pub fn wrong(at: u64, why: impl Into<String>) -> Self {
        Self { at, why: Why::Wrong(why.into()) }
    }

    /// A decoder that meets damage says `InvalidData`; everything else is the medium's trouble.
    pub fn unread(at: u64, why: std::io::Error) -> Self {
        match why.kind() {
            std::io::ErrorKind::InvalidData => Self::wrong(at, why.to_string()),
            _ => Self { at, why: Why::Unread(why) },
        }
    }

    pub fn cut(at: u64) -> Self {
        Self::wrong(at, "the archive is cut here")
    }
}

/// What PAX records say about the member behind them.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads headers, one member after the other.
#[derive(Default)]
pub(super) struct Headers {
    count: u64,
}

impl Headers {
    /// The next member's headers, read from `at`, and where its content starts; `None` at the first block of zeros.
    ///
    /// An archive that ends before it says so is cut: whoever wrote it could not finish.
    pub fn next(&mut self, tape: &mut dyn Tape, mut at: u64) -> Result<(Option<Header>, u64), Flaw> {
        let mut records = Records::default();
        let (mut long_name, mut long_target) = (None, None);
        let mut pending = false;
        let before = self.count;
        loop {
            let mut block = [0; BLOCK as usize];
            match fill(tape, &mut block).map_err(|why| Flaw::unread(at, why))? {
                0 if at == 0 => return Err(Flaw::wrong(at, "it is empty")),
                0 => return Err(Flaw::wrong(at, "the archive is cut: it has no end marker")),
                got if got < block.len() => return Err(Flaw::cut(at + got as u64)),
                _ => {}
            }
            if block.iter().all(|byte| *byte == 0) {
                if pending {
                    return Err(Flaw::wrong(at, "the archive ends behind a header that announces a member"));
                }
                return Ok((None, at + BLOCK));
            }
            if !sums_up(&block) {
                let why = if at == 0 { "it is no tar" } else { "the header's checksum is wrong" };
                return Err(Flaw::wrong(at, why));
            }
            self.count += 1;
            if self.count > MAX_HEADERS {
                return Err(Flaw::wrong(at, format!("it has more than {MAX_HEADERS} headers")));
            }
            if self.count - before > MAX_AHEAD + 1 {
                return Err(Flaw::wrong(at, format!("it has more than {MAX_AHEAD} headers in front of one member")));
            }
            let size = number(&block[124..136]).map_err(|why| Flaw::wrong(at, format!("its size {why}")))?;
            let flag = block[156];
            let (what, limit) = match flag {
                b'L' | b'K' => ("long name", MAX_NAME as u64 + 1),
                b'x' | b'g' => ("PAX header", MAX_PAX),
                _ => {
                    let header = tar::Header::from_byte_slice(&block);
                    let name = records.path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
                    let target = (records.target.or(long_target))
                        .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
                    let size = records.size.unwrap_or(size);
                    let mode = number(&block[100..108]).ok().and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644);
                    return Ok((Some(Header { at, flag, name, target, size, mode }), at + BLOCK));
                }
            };
            if size > limit {
                return Err(Flaw::wrong(at, format!("a {what} of {size} bytes; the limit is {limit}")));
            }
            let mut body = vec![0; size.next_multiple_of(BLOCK) as usize];
            let got = fill(tape, &mut body).map_err(|why| Flaw::unread(at, why))?;
            if got < body.len() {
                return Err(Flaw::cut(at + BLOCK + got as u64));
            }
            body.truncate(size as usize);
            let wrong = |why: String| Flaw::wrong(at, why);
            match flag {
                b'L' => long_name = Some(text(body)),
                b'K' => long_target = Some(text(body)),
                b'x' => records.take(&body).map_err(wrong)?,
                _ => of_all(&body).map_err(wrong)?,
            }
            pending |= flag != b'g';
            at += BLOCK + size.next_multiple_of(BLOCK);
        }
    }
}

/// Whether the block starts like a tar: its checksum is right.
pub(super) fn sums_up(block: &[u8; BLOCK as usize]) -> bool {
    let Ok(stated) = number(&block[148..156]) else { return false };
    // The checksum's own field counts as spaces.
    let field = &block[148..156];
    let spaces = 8 * u32::from(b' ');
    let unsigned = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    if stated == u64::from(unsigned(block) - unsigned(field) + spaces) {
        return true;
    }
    // Some old writers summed signed characters.
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte as i8)).sum::<i64>();
    i64::try_from(stated) == Ok(signed(block) - signed(field) + i64::from(spaces))
}

/// A number field: octal digits, or base-256 where the first bit is set (ARCHIVE-20).
fn number(field: &[u8]) -> Result<u64, String> {
    if field[0] & 0x80 != 0 {
        if field[0] & 0x40 != 0 {
            return Err("is negative".into());
        }
        let value = field[1..].iter().try_fold(u64::from(field[0] & 0x3f), |value, byte| {
            value.checked_mul(256).map(|value| value | u64::from(*byte))
        });
        return value.filter(|value| *value <= i64::MAX as u64).ok_or_else(|| "is too large".into());
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    if !digits.iter().all(|byte| (b'0'..=b'7').contains(byte)) {
        return Err("is no number".into());
    }
    // Twelve octal digits always fit.
    Ok(digits.iter().fold(0, |value, byte| value << 3 | u64::from(byte - b'0')))
}

/// The content of a long name without what ends it.
fn text(mut body: Vec<u8>) -> Vec<u8> {
    while body.last() == Some(&0) {
        body.pop();
    }
    body
}

impl Records {
    /// Takes in the records of one PAX header: `length key=value\n`, over and over.
    fn take(&mut self, mut body: &[u8]) -> Result<(), String> {
        let bad = || "a PAX record that cannot be read".to_owned();
        while !body.is_empty() {
            let space = body.iter().take(12).position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length = decimal(&body[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(bad)?;
            let record = body.get(space + 1..length).ok_or_else(bad)?;
            body = &body[length..];
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if matches!(key, b"path" | b"linkpath") && value.len() > MAX_NAME {
                return Err(format!("a PAX name of {} bytes; the limit is {MAX_NAME}", value.len()));
            }
            // An empty value takes back what was said before.
            let named = (!value.is_empty()).then(|| value.to_vec());
            match key {
                b"path" => self.path = named,
                b"linkpath" => self.target = named,
                b"size" if value.is_empty() => self.size = None,
                b"size" => {
                    let size = decimal(value).filter(|size| *size <= i64::MAX as u64);
                    self.size = Some(size.ok_or("a PAX size that is no number")?);
                }
                b"SCHILY.realsize" => return Err("a sparse member".into()),
                _ if key.starts_with(b"GNU.sparse.") => return Err("a sparse member".into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Looks at the records of a global PAX header: those of all members behind it. Some readers obey them and some do not,
/// so that one which names members or measures them would make two archives of one.
fn of_all(body: &[u8]) -> Result<(), String> {
    let mut records = Records::default();
    records.take(body)?;
    let Records { path, target, size } = records;
    match path.is_some() || target.is_some() || size.is_some() {
        true => Err("a global PAX header with the name or the size of a member".into()),
        false => Ok(()),
    }
}

/// Plain decimal digits.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}
