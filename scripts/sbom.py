#!/usr/bin/env python3
"""Prints a software bill of materials of what is shipped: CycloneDX 1.5, JSON.

Everything that the programs are built from, by Cargo's own resolution for this machine's target: without dev-dependencies,
with build scripts' and macros' own. The same Cargo.lock gives the same bytes; SOURCE_DATE_EPOCH adds a time.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import uuid

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

# C code that a crate brings along and compiles: Cargo does not know of it.
BUNDLED = {"nng-c-sys": ("nng", "MIT", "https://github.com/nanomsg/nng")}


def host():
    text = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (.*)$", text, re.M).group(1)


def metadata():
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked"]
    command += ["--filter-platform", host()]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def checksums():
    """Name and version to SHA-256, from Cargo.lock."""
    with open(os.path.join(ROOT, "Cargo.lock"), encoding="utf-8") as lock:
        found = re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"', lock.read())
    return {(name, version): checksum for name, version, checksum in found}


def shipped(resolved):
    """Ids of what the root package is built from, and who needs whom."""
    nodes = {node["id"]: node for node in resolved["nodes"]}
    needed, waiting, edges = set(), [resolved["root"]], {}
    while waiting:
        package = waiting.pop()
        if package in needed:
            continue
        needed.add(package)
        kinds = lambda dependency: {kind["kind"] for kind in dependency["dep_kinds"]}
        edges[package] = [one["pkg"] for one in nodes[package]["deps"] if kinds(one) != {"dev"}]
        waiting += edges[package]
    return needed, edges


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, sums):
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package.get("license"):
        # Old crates write a slash for "or", which is no SPDX expression.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("repository"):
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def bundled(package):
    name, licence, url = BUNDLED[package["name"]]
    return {
        "type": "library",
        "bom-ref": f"pkg:generic/{name}@{package['version']}",
        "name": name,
        "version": package["version"],
        "purl": f"pkg:generic/{name}@{package['version']}",
        "licenses": [{"expression": licence}],
        "externalReferences": [{"type": "vcs", "url": url}],
    }


def main():
    found = metadata()
    packages = {package["id"]: package for package in found["packages"]}
    needed, edges = shipped(found["resolve"])
    root, sums = found["resolve"]["root"], checksums()
    others = sorted(needed - {root}, key=lambda id: reference(packages[id]))
    components = [component(packages[id], sums) for id in others]
    dependencies = []
    for id in [root, *others]:
        targets = {reference(packages[target]) for target in edges[id]}
        if packages[id]["name"] in BUNDLED:
            part = bundled(packages[id])
            components.append(part)
            targets.add(part["bom-ref"])
            dependencies.append({"ref": part["bom-ref"], "dependsOn": []})
        dependencies.append({"ref": reference(packages[id]), "dependsOn": sorted(targets)})
    about = {"component": {**component(packages[root], sums), "type": "application"}}
    if os.environ.get("SOURCE_DATE_EPOCH"):
        time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
        about["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    # Of the content, so that the same content has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([components, dependencies], sort_keys=True))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": about,
        "components": components,
        "dependencies": dependencies,
    }
    json.dump(bill, sys.stdout, indent=2)
    print()


main()
