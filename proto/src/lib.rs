//! The wire contract of Tollgate: messages, clients and servers of the package `tollgate.v1`.
//!
//! Everything here is generated from `proto/tollgate/v1/*.proto` by `cargo xtask codegen` and committed, so that building
//! needs no protoc. The documentation of a message is the comment in its proto file.

/// Version 1 of the contract.
#[path = "generated/tollgate.v1.rs"]
pub mod v1;

/// The descriptors of every proto file of the package and of its imports, as an encoded `google.protobuf.FileDescriptorSet`:
/// what gRPC server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/file_descriptor_set.bin");
