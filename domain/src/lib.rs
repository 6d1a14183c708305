//! The rules of Tollgate, pure: no I/O, no clock, no runtime. Time and state enter as arguments, decisions leave as
//! values, so that every rule can be tested without a server or a database.

pub mod alert;
pub mod amount;
pub mod budget;
pub mod calendar;
pub mod digest;
pub mod dimensions;
pub mod erasure;
pub mod event;
pub mod extract;
pub mod measures;
pub mod model;
pub mod notices;
pub mod price;
pub mod reservation;
pub mod summary;
pub mod tokens;
pub mod violation;
pub mod window;
