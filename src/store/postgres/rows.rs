//! Rows to values and back. What does not parse is corrupt, and says where.

use confab_protocol::model::{
    AuditId, CaseAct, CaseId, CaseKind, CaseState, ClientId, DeviceId, DisplayName, Incarnation, Millis, RoomId,
    RoomKind, RoomRole, Seq, ServerRole, UserId, Username,
};
use confab_protocol::rights::RoomRights;
use tokio_postgres::types::{FromSql, FromSqlOwned, ToSql};
use tokio_postgres::{Column, Row};
use uuid::Uuid;

use crate::core::audit::AuditKey;
use crate::core::store::{Error, Restriction, Result, User};

/// A value that a column holds as another type: ids as `uuid`, positions and times as `bigint`, counts as
/// `integer`, roles and kinds as `smallint`.
pub(super) trait Stored: Sized {
    type Sql: FromSqlOwned;

    fn sql(self) -> Self::Sql;
    fn from_sql(sql: Self::Sql) -> Option<Self>;
}

macro_rules! id_columns {
    ($($name:ty),+) => {$(
        impl Stored for $name {
            type Sql = Uuid;

            fn sql(self) -> Uuid { Uuid::from_u128(self.as_u128()) }
            fn from_sql(sql: Uuid) -> Option<Self> { Some(Self::from_u128(sql.as_u128())) }
        }
    )+};
}

id_columns!(UserId, DeviceId, RoomId, ClientId, CaseId, AuditId, AuditKey);

macro_rules! number_columns {
    ($($name:ty),+) => {$(
        impl Stored for $name {
            type Sql = i64;

            fn sql(self) -> i64 { i64::try_from(self.0).unwrap_or(i64::MAX) }
            fn from_sql(sql: i64) -> Option<Self> { u64::try_from(sql).ok().map(Self) }
        }
    )+};
}

number_columns!(Seq, Millis, Incarnation);

macro_rules! enum_columns {
    ($($name:ty),+) => {$(
        impl Stored for $name {
            type Sql = i16;

            fn sql(self) -> i16 { self.number().into() }
            fn from_sql(sql: i16) -> Option<Self> { u8::try_from(sql).ok().and_then(Self::from_number) }
        }
    )+};
}

enum_columns!(RoomRole, ServerRole, RoomKind, CaseKind, CaseState, CaseAct);

impl Stored for RoomRights {
    type Sql = i16;

    fn sql(self) -> i16 {
        self.number().cast_signed()
    }
    fn from_sql(sql: i16) -> Option<Self> {
        Self::from_number(sql.cast_unsigned())
    }
}

impl Stored for u32 {
    type Sql = i32;

    fn sql(self) -> i32 {
        i32::try_from(self).unwrap_or(i32::MAX)
    }

    fn from_sql(sql: i32) -> Option<Self> {
        Self::try_from(sql).ok()
    }
}

/// What is bound to a statement, where that is made apart from its being sent.
pub(super) type Params = Vec<Box<dyn ToSql + Sync + Send>>;

/// As a statement takes them.
pub(super) fn by_ref(params: &[Box<dyn ToSql + Sync + Send>]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|it| &**it as &(dyn ToSql + Sync)).collect()
}

/// A column as a value.
pub(super) fn get<T: Stored>(row: &Row, column: usize) -> Result<T> {
    T::from_sql(plain(row, column)?).ok_or_else(|| corrupt(row, column, "out of range"))
}

/// A column that may be null as a value.
pub(super) fn get_optional<T: Stored>(row: &Row, column: usize) -> Result<Option<T>> {
    let sql: Option<T::Sql> = plain(row, column)?;
    sql.map(|sql| T::from_sql(sql).ok_or_else(|| corrupt(row, column, "out of range"))).transpose()
}

/// A column as it is.
pub(super) fn plain<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| corrupt(row, column, &error.to_string()))
}

/// `id, username, display_name, role, self_room, token_version, created_ms, restriction, until_ms, audit_key`, from the
/// first column on.
pub(super) fn user(row: &Row) -> Result<User> {
    Ok(User {
        id: get(row, 0)?,
        username: Username::parse(plain(row, 1)?).map_err(|error| corrupt(row, 1, &error.to_string()))?,
        display_name: DisplayName::parse(plain(row, 2)?).map_err(|error| corrupt(row, 2, &error.to_string()))?,
        role: get(row, 3)?,
        self_room: get(row, 4)?,
        token_version: get(row, 5)?,
        created: get(row, 6)?,
        restriction: Restriction::from_numbers(
            u8::try_from(plain::<i16>(row, 7)?).unwrap_or(u8::MAX),
            plain::<i64>(row, 8)?.cast_unsigned(),
        ),
        audit_key: get_optional(row, 9)?,
    })
}

fn corrupt(row: &Row, column: usize, why: &str) -> Error {
    let name = row.columns().get(column).map_or("?", Column::name);
    Error::Corrupt(format!("column {column}, {name}: {why}"))
}
