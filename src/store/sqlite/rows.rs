//! Rows to values and back. What does not parse is corrupt, and says where.

use confab_protocol::model::{
    AuditId, CaseAct, CaseId, CaseKind, CaseState, ClientId, DeviceId, DisplayName, Incarnation, Millis, RoomId,
    RoomRole, Seq, ServerRole, UserId, Username,
};
use confab_protocol::rights::RoomRights;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use crate::core::audit::AuditKey;
use crate::core::store::{Restriction, User};

/// A value as a column: ids as 16-byte blobs, numbers as 64-bit integers.
pub(super) struct Sql<T>(pub(super) T);

macro_rules! id_columns {
    ($($name:ty),+) => {$(
        impl ToSql for Sql<$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.0.to_bytes().to_vec()))
            }
        }
        impl FromSql for Sql<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <[u8; 16]>::column_result(value).map(|bytes| Self(<$name>::from_bytes(bytes)))
            }
        }
    )+};
}

id_columns!(UserId, DeviceId, RoomId, ClientId, CaseId, AuditId, AuditKey);

macro_rules! number_columns {
    ($($name:ident),+) => {$(
        impl ToSql for Sql<$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(i64::try_from(self.0.0).unwrap_or(i64::MAX)))
            }
        }
        impl FromSql for Sql<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let number = i64::column_result(value)?;
                u64::try_from(number).map(|number| Self($name(number))).map_err(|_| FromSqlError::OutOfRange(number))
            }
        }
    )+};
}

number_columns!(Seq, Millis, Incarnation);

macro_rules! enum_columns {
    ($($name:ty),+) => {$(
        impl ToSql for Sql<$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> { Ok(ToSqlOutput::from(self.0.number())) }
        }
        impl FromSql for Sql<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let number = u8::column_result(value)?;
                <$name>::from_number(number).map(Self).ok_or(FromSqlError::OutOfRange(number.into()))
            }
        }
    )+};
}

enum_columns!(RoomRole, ServerRole, confab_protocol::model::RoomKind, CaseKind, CaseState, CaseAct);

impl ToSql for Sql<RoomRights> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.number()))
    }
}

impl FromSql for Sql<RoomRights> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = u16::column_result(value)?;
        RoomRights::from_number(number).map(Self).ok_or(FromSqlError::OutOfRange(number.into()))
    }
}

/// A column as a value.
pub(super) fn get<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    Sql<T>: FromSql,
{
    row.get::<_, Sql<T>>(column).map(|sql| sql.0)
}

/// `id, username, display_name, role, self_room, token_version, created_ms, restriction, until_ms, audit_key`, from the
/// first column on.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let text = |column: usize| row.get_ref(column)?.as_str().map_err(|_| bad(column));
    let audit_key: Option<Sql<AuditKey>> = row.get(9)?;
    Ok(User {
        id: get(row, 0)?,
        username: Username::parse(text(1)?).map_err(|_| bad(1))?,
        display_name: DisplayName::parse(text(2)?).map_err(|_| bad(2))?,
        role: get(row, 3)?,
        self_room: get(row, 4)?,
        token_version: row.get(5)?,
        created: get(row, 6)?,
        restriction: Restriction::from_numbers(row.get(7)?, row.get::<_, i64>(8)?.cast_unsigned()),
        audit_key: audit_key.map(|sql| sql.0),
    })
}

fn bad(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "user".into(), rusqlite::types::Type::Text)
}
