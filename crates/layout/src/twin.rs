//! The sha256 of two contents at once.
//!
//! The instructions that processors have for sha256 wait for each other: two contents take little longer than one. This
//! is the only unsafe code there is here: instructions are used that not every processor has, which is asked first.

#![allow(unsafe_code)]

use crate::digest::Digest;

/// The digests of two contents, as [`Digest::of`] gives that of each.
pub(crate) fn of_both(contents: [&[u8]; 2]) -> [Digest; 2] {
    #[cfg(target_arch = "x86_64")]
    if let Some(both) = x86::of_both(contents) {
        return both.map(Digest::from_sha256);
    }
    contents.map(Digest::of)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use sha2::block_api::compress256;

    const BLOCK: usize = 64;
    /// What every sha256 starts with, and adds in each round (FIPS 180-4, 5.3.3 and 4.2.2).
    const START: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    #[rustfmt::skip]
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// `None` where this processor does not have the instructions.
    pub fn of_both(contents: [&[u8]; 2]) -> Option<[[u8; 32]; 2]> {
        if !(is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1")) {
            return None;
        }
        let [a, b] = contents.map(|content| content.as_chunks::<BLOCK>().0);
        let both = a.len().min(b.len());
        let mut states = [START; 2];
        // SAFETY: what it enables was just detected, which is all that is asked of who calls it.
        unsafe { compress_both(&mut states, [&a[..both], &b[..both]]) };
        let [mut first, mut second] = states;
        Some([finish(&mut first, contents[0], both), finish(&mut second, contents[1], both)])
    }

    /// The rest of one content, behind so many blocks, and the end that every sha256 has.
    fn finish(state: &mut [u32; 8], content: &[u8], done: usize) -> [u8; 32] {
        let (blocks, rest) = content.as_chunks::<BLOCK>();
        compress256(state, &blocks[done..]);
        let mut end = [0; 2 * BLOCK];
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        let end = if rest.len() + 1 + 8 > BLOCK { &mut end[..] } else { &mut end[..BLOCK] };
        let length = end.len() - 8;
        end[length..].copy_from_slice(&(content.len() as u64 * 8).to_be_bytes());
        compress256(state, end.as_chunks().0);
        let mut raw = [0; 32];
        for (raw, word) in raw.as_chunks_mut().0.iter_mut().zip(state) {
            *raw = word.to_be_bytes();
        }
        raw
    }

    /// Goes through as many blocks of each, one of each at a time.
    #[target_feature(enable = "sha,sse4.1")]
    fn compress_both(states: &mut [[u32; 8]; 2], blocks: [&[[u8; BLOCK]]; 2]) {
        let word = |word: u32| word.cast_signed();
        let four = |a, b, c, d| _mm_set_epi32(word(a), word(b), word(c), word(d));
        // The words of a state in the order that the instructions have.
        let mut abef = states.map(|[a, b, _, _, e, f, _, _]| four(a, b, e, f));
        let mut cdgh = states.map(|[_, _, c, d, _, _, g, h]| four(c, d, g, h));
        for (first, second) in blocks[0].iter().zip(blocks[1]) {
            let before = (abef, cdgh);
            let mut words = [message(first), message(second)];
            // Written out, all of it stays in registers.
            macro_rules! rounds {
                ($($four:literal)*) => {$({
                    let [a, b, c, d] = ROUNDS[$four];
                    let add = four(d, c, b, a);
                    for lane in 0..2 {
                        let words = &mut words[lane];
                        let now = words[$four % 4];
                        let now = if $four < 4 {
                            now
                        } else {
                            let [next, after, last] = [1, 2, 3].map(|more| words[($four + more) % 4]);
                            let sum = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8(last, after, 4));
                            _mm_sha256msg2_epu32(sum, last)
                        };
                        words[$four % 4] = now;
                        let more = _mm_add_epi32(now, add);
                        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], more);
                        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(more, 0x0E));
                    }
                })*};
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for lane in 0..2 {
                abef[lane] = _mm_add_epi32(abef[lane], before.0[lane]);
                cdgh[lane] = _mm_add_epi32(cdgh[lane], before.1[lane]);
            }
        }
        for (state, (abef, cdgh)) in states.iter_mut().zip(abef.into_iter().zip(cdgh)) {
            let [a, b, e, f] = out(abef);
            let [c, d, g, h] = out(cdgh);
            *state = [a, b, c, d, e, f, g, h];
        }
    }

    /// The sixteen words of a block.
    #[target_feature(enable = "sse4.1")]
    fn message(block: &[u8; BLOCK]) -> [__m128i; 4] {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let quarter = |at: usize| {
            let half = |at: usize| {
                let bytes = block[at..].first_chunk().expect("a block is that long");
                i64::from_le_bytes(*bytes)
            };
            _mm_shuffle_epi8(_mm_set_epi64x(half(at + 8), half(at)), big_endian)
        };
        [quarter(0), quarter(16), quarter(32), quarter(48)]
    }

    /// Four words, the highest first.
    #[target_feature(enable = "sse4.1")]
    fn out(words: __m128i) -> [u32; 4] {
        [
            _mm_extract_epi32::<3>(words),
            _mm_extract_epi32::<2>(words),
            _mm_extract_epi32::<1>(words),
            _mm_extract_epi32::<0>(words),
        ]
        .map(i32::cast_unsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_the_digest_that_each_has() {
        let bytes: Vec<u8> = (0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for first in (0..300).chain([1000, 2048, 3000]) {
            for second in (0..300).step_by(7).chain([55, 56, 63, 64, 119, 120, 128, 2999]) {
                let contents = [&bytes[..first], &bytes[3000 - second..]];
                assert_eq!(of_both(contents), contents.map(Digest::of), "{first} and {second} bytes");
            }
        }
    }

    #[test]
    fn it_is_the_sha256_of_the_standard() {
        let [abc, empty] = of_both([b"abc", b""]).map(|digest| digest.encoded());
        assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
