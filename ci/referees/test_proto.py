"""Our .proto files against the descriptors of the published bosdyn-api package, name by name and number by number.

SPOTSTREAM_DESCRIPTORS names the file that `cargo run -p spotstreamd --example descriptors` wrote.
"""

import importlib
import os
import pkgutil

import bosdyn.api
import pytest
from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto


def official_files():
    seen = {}

    def visit(file):
        if file.name not in seen:
            seen[file.name] = file
            for dependency in file.dependencies:
                visit(dependency)

    for module in pkgutil.walk_packages(bosdyn.api.__path__, "bosdyn.api."):
        if module.name.endswith("_pb2"):
            visit(importlib.import_module(module.name).DESCRIPTOR)
    for file in seen.values():
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        yield proto


def our_files():
    with open(os.environ["SPOTSTREAM_DESCRIPTORS"], "rb") as stream:
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(stream.read())
    return [file for file in descriptors.file if file.package.startswith("bosdyn")]


def flatten(files):
    """Every fact the wire depends on, as {full name: value}."""
    facts = {}

    def enum(prefix, proto):
        for value in proto.value:
            facts[f"enum value {prefix}.{proto.name}.{value.name}"] = value.number

    def message(prefix, proto):
        name = f"{prefix}.{proto.name}"
        facts[f"message {name}"] = proto.options.map_entry
        for field in proto.field:
            oneof = proto.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
            facts[f"field {name}.{field.name}"] = (
                field.number,
                Field.Type.Name(field.type),
                Field.Label.Name(field.label),
                field.type_name,
                oneof,
                field.proto3_optional,
            )
        for nested in proto.nested_type:
            message(name, nested)
        for nested in proto.enum_type:
            enum(name, nested)

    for file in files:
        assert file.syntax == "proto3", file.name
        facts[f"file {file.name}"] = file.package
        for proto in file.message_type:
            message(file.package, proto)
        for proto in file.enum_type:
            enum(file.package, proto)
        for service in file.service:
            for method in service.method:
                facts[f"method {file.package}.{service.name}.{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return facts


OFFICIAL = flatten(official_files())
OURS = flatten(our_files())


@pytest.mark.parametrize("fact", sorted(OURS))
def test_the_published_descriptors_say_the_same(fact):
    assert fact in OFFICIAL, f"{fact} is not in bosdyn-api"
    assert OURS[fact] == OFFICIAL[fact]


@pytest.mark.parametrize(
    "service",
    [
        "bosdyn.api.AuthService",
        "bosdyn.api.RobotIdService",
        "bosdyn.api.DirectoryService",
        "bosdyn.api.TimeSyncService",
        "bosdyn.api.PayloadService",
        "bosdyn.api.PayloadRegistrationService",
        "bosdyn.api.FaultService",
        "bosdyn.api.spot_cam.StreamQualityService",
        "bosdyn.api.spot_cam.CompositorService",
        "bosdyn.api.spot_cam.VersionService",
        "bosdyn.api.spot_cam.NetworkService",
        "bosdyn.api.spot_cam.HealthService",
        "bosdyn.api.spot_cam.PowerService",
        "bosdyn.api.spot_cam.LightingService",
        "bosdyn.api.spot_cam.PtzService",
        "bosdyn.api.spot_cam.AudioService",
    ],
)
def test_a_service_that_we_name_has_all_its_methods(service):
    methods = [fact for fact in OFFICIAL if fact.startswith(f"method {service}.")]
    assert methods
    assert [fact for fact in methods if fact not in OURS] == []


def test_a_message_that_we_name_has_all_its_fields():
    """A field left out on purpose stands here with its reason."""
    left_out = {
        # Free-form build details, which nothing here reads or serves.
        "field bosdyn.api.RobotSoftwareRelease.parameters",
    }
    messages = {fact.removeprefix("message ") for fact in OURS if fact.startswith("message ")}
    missing = {
        fact
        for fact in OFFICIAL
        if fact.startswith("field ") and fact.removeprefix("field ").rpartition(".")[0] in messages and fact not in OURS
    }
    assert missing == left_out
