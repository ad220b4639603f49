//! The form of a table's rows: that of PostgreSQL's `COPY ... (FORMAT binary)` (its documentation, "COPY", "Binary
//! Format"), read with a bound on everything, for a backup may have been anywhere.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use super::{Column, Kind, Table};
use crate::core::store::{Error, Result};

/// What a table begins with: a signature, no flags, no extension.
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What a table ends with, in the place of a number of fields.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// No field is longer, bytes.
pub const FIELD_BYTES_MAX: usize = 1 << 20;

/// A row as it is written, and where its fields are.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Row {
    bytes: Vec<u8>,
    fields: Vec<Option<Range<usize>>>,
}

impl Row {
    /// An empty row, whose fields are pushed.
    #[must_use]
    pub fn begin(table: &Table) -> Self {
        let mut row = Self::default();
        row.clear(table.columns.len());
        row
    }

    fn clear(&mut self, fields: usize) {
        self.bytes.clear();
        self.bytes.extend((fields as i16).to_be_bytes());
        self.fields.clear();
    }

    /// Adds a field. `None` is null.
    pub fn push(&mut self, field: Option<&[u8]>) {
        let bytes = field.map_or(-1, |field| field.len() as i32);
        self.bytes.extend(bytes.to_be_bytes());
        let from = self.bytes.len();
        self.bytes.extend(field.unwrap_or_default());
        self.fields.push(field.map(|_| from..self.bytes.len()));
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A field; `None` where it is null or not there.
    #[must_use]
    pub fn field(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(self.fields.get(index)?.clone()?)
    }

    /// A field that is an id.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<u128> {
        Some(u128::from_be_bytes(self.field(index)?.try_into().ok()?))
    }

    /// A field that is a whole number of any width, or a truth value.
    #[must_use]
    pub fn number(&self, index: usize) -> Option<i64> {
        match self.field(index)? {
            bytes @ [_] => bytes.first().map(|byte| (*byte).into()),
            bytes if bytes.len() == 2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            bytes if bytes.len() == 4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            bytes => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        }
    }

    /// The same row with one field of another value and the same length.
    ///
    /// # Errors
    /// Another length.
    pub fn replace(&mut self, index: usize, value: &[u8]) -> Result<()> {
        let place = self.fields.get(index).cloned().flatten().and_then(|range| self.bytes.get_mut(range));
        match place {
            Some(place) if place.len() == value.len() => place.copy_from_slice(value),
            _ => return Err(Error::Corrupt(format!("field {index} is not of {} bytes", value.len()))),
        }
        Ok(())
    }
}

/// Whether a field can be what its column says.
fn check(column: &Column, field: Option<&[u8]>) -> std::result::Result<(), &'static str> {
    let Some(field) = field else { return if column.nullable { Ok(()) } else { Err("is null") } };
    let is_right = match column.kind {
        Kind::Id => field.len() == 16,
        Kind::Flag => matches!(field, [0 | 1]),
        Kind::Small => field.len() == 2,
        Kind::Int => field.len() == 4,
        Kind::Long => field.len() == 8,
        Kind::Text => std::str::from_utf8(field).is_ok(),
        Kind::Bytes => true,
    };
    if is_right { Ok(()) } else { Err("is of another kind") }
}

/// Reads the rows of a table.
#[derive(Debug)]
pub struct Rows<R> {
    table: &'static Table,
    from: R,
    row: Row,
    count: u64,
    at: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Rows,
    End,
}

impl<R: Read> Rows<R> {
    /// Of a table, from its first byte on.
    pub fn new(table: &'static Table, from: R) -> Self {
        Self { table, from, row: Row::default(), count: 0, at: State::Start }
    }

    /// How many there were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// What it reads from.
    pub fn into_inner(self) -> R {
        self.from
    }

    /// The next row.
    ///
    /// # Errors
    /// What cannot be read, is cut off, is no row of this table, or stands behind the last one.
    pub fn next_row(&mut self) -> Result<Option<&mut Row>> {
        if self.at == State::Start {
            let mut header = [0; HEADER.len()];
            self.read(&mut header)?;
            if header != *HEADER {
                return Err(self.corrupt("does not begin as a table does"));
            }
            self.at = State::Rows;
        }
        if self.at == State::End || !self.begin_row()? {
            return Ok(None);
        }
        for column in self.table.columns {
            self.read_field(column)?;
        }
        self.count += 1;
        Ok(Some(&mut self.row))
    }

    /// `false`: it was the last one.
    fn begin_row(&mut self) -> Result<bool> {
        let mut count = [0; 2];
        self.read(&mut count)?;
        if count == TRAILER {
            self.at = State::End;
            return match self.from.read(&mut [0]) {
                Ok(0) => Ok(false),
                Ok(_) => Err(self.corrupt("goes on behind its end")),
                Err(error) => Err(self.failed(&error)),
            };
        }
        if usize::from(u16::from_be_bytes(count)) != self.table.columns.len() {
            return Err(self.corrupt("has another number of columns"));
        }
        self.row.clear(self.table.columns.len());
        Ok(true)
    }

    fn read_field(&mut self, column: &Column) -> Result<()> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = i32::from_be_bytes(length);
        self.row.bytes.extend(length.to_be_bytes());
        let from = self.row.bytes.len();
        let range = match usize::try_from(length) {
            Ok(length) if length <= FIELD_BYTES_MAX => {
                self.row.bytes.resize(from + length, 0);
                let read = self.row.bytes.get_mut(from..).map_or(Ok(()), |place| self.from.read_exact(place));
                read.map_err(|error| self.failed(&error))?;
                Some(from..from + length)
            }
            Err(_) if length == -1 => None,
            _ => return Err(self.corrupt("has a field that is too long")),
        };
        let field = range.clone().and_then(|range| self.row.bytes.get(range));
        check(column, field).map_err(|what| self.corrupt(&format!("column {} {what}", column.name)))?;
        self.row.fields.push(range);
        Ok(())
    }

    fn read(&mut self, place: &mut [u8]) -> Result<()> {
        self.from.read_exact(place).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.corrupt("is cut off"),
            _ => Error::Unavailable(format!("table {}: {error}", self.table.name)),
        }
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("table {}, after row {}: {what}", self.table.name, self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> (&'static Table, Vec<u8>) {
        let table = Table::find("devices").unwrap();
        let mut bytes = HEADER.to_vec();
        for name in ["phone", "café"] {
            let mut row = Row::begin(table);
            for column in table.columns {
                let field: &[u8] = match column.kind {
                    Kind::Id => &[7; 16],
                    Kind::Flag => &[1],
                    Kind::Small => &[1, 2],
                    Kind::Int => &[0, 0, 1, 2],
                    Kind::Long => &[0xff; 8],
                    _ => name.as_bytes(),
                };
                row.push(Some(field));
            }
            bytes.extend(row.bytes());
        }
        bytes.extend(TRAILER);
        (table, bytes)
    }

    fn read(table: &'static Table, bytes: &[u8]) -> Result<Vec<Row>> {
        let (mut rows, mut read) = (Rows::new(table, bytes), Vec::new());
        while let Some(row) = rows.next_row()? {
            read.push(row.clone());
        }
        assert!(rows.next_row().unwrap().is_none(), "the end stays the end");
        Ok(read)
    }

    #[test]
    fn what_was_written_is_read() {
        let (table, bytes) = devices();
        let mut rows = read(table, &bytes).unwrap();
        assert_eq!((rows.len(), rows[1].field(2)), (2, Some("café".as_bytes())));
        let (number, long) = (rows[0].number(table.position("login")), rows[0].number(table.position("created_ms")));
        assert_eq!((number, long, rows[0].number(table.position("active"))), (Some(258), Some(-1), Some(1)));
        assert_eq!(rows[0].id(1), Some(u128::from_be_bytes([7; 16])));
        rows[0].replace(3, &[0]).unwrap();
        assert_eq!(rows[0].number(3), Some(0));
        assert!(rows[0].replace(3, &[0, 0]).is_err() && rows[0].replace(99, &[]).is_err());
    }

    /// Each prefix, and each byte in turn: an error or other values, never a panic, and never taken for whole.
    #[test]
    fn what_is_cut_off_or_odd_is_refused() {
        let (table, bytes) = devices();
        for length in 0..bytes.len() {
            let error = read(table, &bytes[..length]).unwrap_err();
            assert!(error.to_string().contains("cut off"), "{length}: {error}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut odd = bytes.clone();
                odd[at] = value;
                if let Ok(rows) = read(table, &odd) {
                    assert_eq!(rows.len(), 2);
                }
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(read(table, &longer).unwrap_err().to_string().contains("goes on"));
        let huge = [&HEADER[..], &[0, 8], &i32::MAX.to_be_bytes()].concat();
        assert!(read(table, &huge).unwrap_err().to_string().contains("too long"));
        let null = [&HEADER[..], &[0, 8], &(-1_i32).to_be_bytes()].concat();
        assert!(read(table, &null).unwrap_err().to_string().contains("null"));
    }
}
