//! Read safetensors files: print each tensor's name, dtype, shape and first value.
//!
//!     rustc --edition 2021 -O read_safetensors.rs
//!     ./read_safetensors weights.safetensors
//!
//! A file is the length of its header (8 bytes, little-endian), the header (JSON), and the bytes
//! of the tensors (little-endian, in C order). Only the header and the first values are read here;
//! an engine reads all bytes between a tensor's offsets. A file that is not as it should be ends
//! the program with exit code 1.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::ExitCode;

const MAX_HEADER: u64 = 100_000_000;
const MAX_DEPTH: usize = 64;

/// Each dtype's name, its bytes, and the bits of its exponent and fraction: 0 for whole numbers.
const DTYPES: [(&str, usize, u32, u32); 15] = [
    ("F64", 8, 11, 52),
    ("F32", 4, 8, 23),
    ("F16", 2, 5, 10),
    ("BF16", 2, 8, 7),
    ("F8_E4M3", 1, 4, 3),
    ("F8_E5M2", 1, 5, 2),
    ("I64", 8, 0, 0),
    ("I32", 4, 0, 0),
    ("I16", 2, 0, 0),
    ("I8", 1, 0, 0),
    ("U64", 8, 0, 0),
    ("U32", 4, 0, 0),
    ("U16", 2, 0, 0),
    ("U8", 1, 0, 0),
    ("BOOL", 1, 0, 0),
];

type Result<T> = std::result::Result<T, String>;

/// As much of JSON as a header has, from left to right.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl Json<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn accept(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.accept(wanted) {
            return Ok(());
        }
        Err("the header is not the JSON that it should be".into())
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or("");
        self.at += 4;
        if digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return u32::from_str_radix(digits, 16).map_err(|error| error.to_string());
        }
        Err("the header has a bad \\u escape".into())
    }

    fn escape(&mut self) -> Result<char> {
        let letter = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        let code = match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => return Ok(char::from(plain)),
            Some(b'b') => return Ok('\u{8}'),
            Some(b'f') => return Ok('\u{c}'),
            Some(b'n') => return Ok('\n'),
            Some(b'r') => return Ok('\r'),
            Some(b't') => return Ok('\t'),
            Some(b'u') => self.hex4()?,
            _ => return Err("the header has a bad escape".into()),
        };
        if !(0xd800..0xdc00).contains(&code) {
            return char::from_u32(code).ok_or_else(|| "half a surrogate pair".into());
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Err("the header has half a surrogate pair".into());
        }
        self.at += 2;
        let low = self.hex4()?.wrapping_sub(0xdc00);
        if low > 0x3ff {
            return Err("the header has half a surrogate pair".into());
        }
        let whole = 0x10000 + ((code - 0xd800) << 10) + low;
        char::from_u32(whole).ok_or_else(|| "half a surrogate pair".into())
    }

    fn string(&mut self) -> Result<String> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let next = self.text[self.at..].chars().next();
            self.at += next.map_or(0, char::len_utf8);
            match next {
                Some('"') => return Ok(out),
                Some('\\') => out.push(self.escape()?),
                Some(plain) if plain >= ' ' => out.push(plain),
                _ => return Err("the header has a string that does not end".into()),
            }
        }
    }

    fn integer(&mut self) -> Result<u64> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        if matches!(rest.as_bytes().get(digits), Some(b'.' | b'e' | b'E')) {
            return Err("the header has no whole number where one should be".into());
        }
        let number = rest[..digits].parse();
        number.map_err(|_| "the header has no whole number where one should be".into())
    }

    fn integers(&mut self) -> Result<Vec<u64>> {
        let mut values = Vec::new();
        self.expect(b'[')?;
        if self.accept(b']') {
            return Ok(values);
        }
        loop {
            values.push(self.integer()?);
            if !self.accept(b',') {
                self.expect(b']')?;
                return Ok(values);
            }
        }
    }

    /// Go through an object, whose values `value` reads.
    fn object(&mut self, mut value: impl FnMut(&mut Self, String) -> Result<()>) -> Result<()> {
        self.expect(b'{')?;
        if self.accept(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            value(self, key)?;
            if !self.accept(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn skip(&mut self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err("the header is nested too deeply".into());
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => {
                let inner: &mut dyn FnMut(&mut Self, String) -> Result<()> =
                    &mut |json, _| json.skip(depth + 1);
                self.object(inner)
            }
            Some(b'[') => {
                self.at += 1;
                if self.accept(b']') {
                    return Ok(());
                }
                loop {
                    self.skip(depth + 1)?;
                    if !self.accept(b',') {
                        return self.expect(b']');
                    }
                }
            }
            _ => {
                // A number, true, false or null.
                let rest = self.text[self.at..].bytes();
                let plain = |byte: &u8| b"+-.0123456789Eaeflnrstu".contains(byte);
                let length = rest.take_while(plain).count();
                self.at += length;
                if length == 0 {
                    return Err("the header is not the JSON that it should be".into());
                }
                Ok(())
            }
        }
    }
}

fn element(name: &str, exponent: u32, fraction: u32, bytes: &[u8]) -> String {
    let bits = 8 * bytes.len() as u32;
    let word = bytes
        .iter()
        .rev()
        .fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    let negative = word >> (bits - 1) == 1;
    if exponent == 0 {
        if name.starts_with('I') {
            // The sign's bit moves to the top, and comes down again.
            return (((word << (64 - bits)) as i64) >> (64 - bits)).to_string();
        }
        return word.to_string();
    }
    // Every float becomes a float64, which holds the values of all the others.
    let most = (1 << exponent) - 1;
    let power = (word >> fraction) as i32 & most;
    let part = word & ((1 << fraction) - 1);
    // F8_E4M3 has no infinities, and one NaN of each sign.
    let value = if power == most && name == "F8_E4M3" && part == 7 {
        f64::NAN
    } else if power == most && name != "F8_E4M3" {
        if part == 0 {
            f64::INFINITY
        } else {
            f64::NAN
        }
    } else {
        let whole = if power > 0 {
            part + (1 << fraction)
        } else {
            part
        };
        let scale = power.max(1) - most / 2 - fraction as i32;
        let step = if scale > 0 { 2.0 } else { 0.5 };
        (0..scale.abs()).fold(whole as f64, |value, _| value * step)
    };
    format!("{}", if negative { -value } else { value })
}

/// Print one tensor, whose entry is next in the header, and return how many bytes it has.
fn tensor(json: &mut Json, file: &mut File, start: u64, length: u64, name: &str) -> Result<u64> {
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    json.object(|json, key| {
        match key.as_str() {
            "dtype" => {
                let text = json.string()?;
                dtype = DTYPES.iter().find(|dtype| dtype.0 == text);
            }
            "shape" => shape = Some(json.integers()?),
            "data_offsets" => offsets = Some(json.integers()?),
            _ => json.skip(0)?,
        }
        Ok(())
    })?;
    let (kind, width, exponent, fraction) = *dtype.ok_or("a tensor has no dtype that is known")?;
    let shape = shape.ok_or("a tensor has no shape")?;
    let (first, last) = match offsets.as_deref() {
        Some(&[first, last]) => (first, last),
        _ => return Err("a tensor has no two offsets".into()),
    };
    let size = shape
        .iter()
        .try_fold(width as u64, |size, axis| size.checked_mul(*axis));
    if last > length || last.checked_sub(first) != size || size.is_none() {
        return Err("a tensor's offsets do not fit its shape or the file".into());
    }
    let mut value = String::new();
    if last > first {
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(start + first))
            .map_err(|error| error.to_string())?;
        file.read_exact(&mut bytes[..width])
            .map_err(|error| error.to_string())?;
        value = element(kind, exponent, fraction, &bytes[..width]);
    }
    let name = name.replace(|c: char| c < ' ', "?");
    writeln!(io::stdout(), "{}\t{}\t{:?}\t{}", name, kind, shape, value)
        .map_err(|error| error.to_string())?;
    Ok(last - first)
}

fn read_file(path: &str) -> Result<()> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let length = file
        .seek(SeekFrom::End(0))
        .map_err(|error| error.to_string())?;
    file.rewind().map_err(|error| error.to_string())?;
    let mut raw = [0; 8];
    file.read_exact(&mut raw)
        .map_err(|_| "is too short for a safetensors file")?;
    let header = u64::from_le_bytes(raw);
    if header > MAX_HEADER || header > length - 8 {
        return Err("says that its header is longer than it can be".into());
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text)
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|_| "the header is not UTF-8")?;
    let (start, left) = (8 + header, length - 8 - header);

    let mut json = Json { text: &text, at: 0 };
    let mut total = 0;
    json.object(|json, name| {
        if name == "__metadata__" {
            return json.skip(0);
        }
        total += tensor(json, &mut file, start, left, &name)?;
        Ok(())
    })?;
    if json.peek().is_some() {
        return Err("the header goes on after its end".into());
    }
    if total != left {
        return Err("the tensors do not fill the file, or overlap".into());
    }
    Ok(())
}

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: read_safetensors FILE...");
        return ExitCode::from(2);
    }
    for path in paths {
        if let Err(problem) = read_file(&path) {
            eprintln!("{}: {}", path, problem);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
