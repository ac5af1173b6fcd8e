"""The languages that an answer's code can be in: one name for each, its other names, and the files that hold it. Pure.

A table of our own, because `code_language` is part of the REST API and must stay as it is. Pygments is not in the
worker's image, takes 5 MB, calls some languages by names that nobody uses (`nimrod`, `nixos`) and knows no Mermaid. An
ending that several languages share, such as `.m`, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum


class Kind(IntEnum):
    """The weight of a language in an answer; the higher kinds count only if nothing of a lower kind is there."""

    PROGRAM = 1
    SETTING = 2  # what stands around a program: its shell, its configuration, its pages
    MATERIAL = 3  # data, diagrams and documents, such as a sample of the output


# Name: (other names, endings of files). A name of several words is written with hyphens.
_PROGRAMS: Mapping[str, tuple[str, str]] = {
    "abap": ("", "abap"),
    "actionscript": ("as3", ""),
    "ada": ("ada95", "adb ads"),
    "agda": ("", "agda"),
    "alloy": ("", "als"),
    "apex": ("", "apex"),
    "apl": ("", "apl"),
    "applescript": ("osascript", "applescript scpt"),
    "assembly": ("asm assembler nasm masm gas x86asm x86-assembly x64-assembly armasm arm-assembly", "asm s nasm"),
    "autohotkey": ("ahk", "ahk"),
    "autoit": ("", "au3"),
    "awk": ("gawk", "awk"),
    "ballerina": ("", "bal"),
    "basic": ("qbasic freebasic bbcbasic gwbasic quickbasic", "bas"),
    "c": ("ansi-c", "c h"),
    "cairo": ("", "cairo"),
    "carbon": ("", "carbon"),
    "chapel": ("chpl", "chpl"),
    "clojure": ("clj cljs clojurescript", "clj cljs cljc"),
    "cobol": ("", "cob cbl"),
    "coffeescript": ("coffee", "coffee"),
    "coq": ("rocq", ""),
    "cpp": ("c++ cxx cc cplusplus c-plus-plus arduino", "cpp cc cxx hpp hh hxx ipp ino"),
    "crystal": ("", "cr"),
    "csharp": ("c# cs c-sharp csx dotnet", "cs csx"),
    "cuda": ("cuda-c++", "cu cuh"),
    "cypher": ("", "cypher cyp"),
    "cython": ("pyx", "pyx pxd"),
    "d": ("dlang", "d"),
    "dart": ("flutter", "dart"),
    "dax": ("", "dax"),
    "elisp": ("emacs-lisp emacs", "el"),
    "elixir": ("ex exs iex", "ex exs"),
    "elm": ("", "elm"),
    "erlang": ("erl", "erl hrl"),
    "fennel": ("", "fnl"),
    "forth": ("", "fth 4th"),
    "fortran": ("f77 f90 f95 f03 f08 fortran-free-form", "f f77 f90 f95 f03 f08 for"),
    "fsharp": ("f# fs f-sharp fsx", "fs fsi fsx"),
    "gdscript": ("godot", "gd"),
    "gleam": ("", "gleam"),
    "glsl": ("", "glsl vert frag"),
    "go": ("golang", "go"),
    "groovy": ("gradle jenkinsfile", "groovy gradle"),
    "hack": ("hacklang hhvm", "hack"),
    "haskell": ("hs ghci", "hs lhs"),
    "haxe": ("", "hx"),
    "hlsl": ("", "hlsl"),
    "hy": ("hylang", "hy"),
    "idris": ("", "idr"),
    "j": ("jlang", "ijs"),
    "janet": ("", "janet"),
    "java": ("jshell джава 자바 جافا जावा", "java jsh"),
    "javascript": (
        "js jsx mjs cjs node nodejs node.js ecmascript es5 es6 es2015 reactjs react.js джаваскрипт 자바스크립트",
        "js jsx mjs cjs",
    ),
    "jq": ("", "jq"),
    "julia": ("jl julia-repl", "jl"),
    "kotlin": ("kt kts", "kt kts"),
    "kusto": ("kql", "kql csl"),
    "lean": ("lean4", "lean"),
    "lisp": ("common-lisp commonlisp cl", "lisp lsp"),
    "logo": ("", ""),
    "lua": ("luajit luau", "lua luau"),
    "mathematica": ("wolfram wolfram-language mma wl", "wl nb wls"),
    "matlab": ("", ""),
    "metal": ("", "metal"),
    "mojo": ("", "mojo"),
    "move": ("", ""),
    "nim": ("nimrod", "nim"),
    "objectivec": ("objective-c objc obj-c", ""),
    "objectivecpp": ("objective-c++ objc++ obj-c++ objectivec++", "mm"),
    "ocaml": ("ml", "ml mli"),
    "octave": ("", ""),
    "odin": ("", "odin"),
    "opencl": ("", ""),
    "openscad": ("", "scad"),
    "pascal": ("delphi object-pascal objectpascal freepascal lazarus", "pas dpr"),
    "perl": ("pl perl5", "pl pm"),
    "php": ("php3 php5 php7 php8 phtml", "php phtml"),
    "pony": ("", "pony"),
    "powerquery": ("power-query pq", "pq"),
    "processing": ("", "pde"),
    "prolog": ("swi-prolog", "pro"),
    "purescript": ("purs", "purs"),
    "python": (
        "py py2 py3 python2 python3 pycon python-console python-repl ipython ipython3 cpython pypy micropython"
        " circuitpython питон пайтон 파이썬 パイソン بايثون پایتون पायथन",
        "py pyi pyw ipynb",
    ),
    "qsharp": ("q#", "qs"),
    "r": ("rlang rscript r-lang", "r rmd"),
    "racket": ("rkt", "rkt"),
    "raku": ("perl6", "raku rakumod p6"),
    "reason": ("reasonml", "re"),
    "rego": ("", "rego"),
    "rescript": ("", "res"),
    "ruby": ("rb irb jruby", "rb rake gemspec"),
    "rust": ("rs", "rs"),
    "sas": ("", "sas"),
    "scala": ("", "scala sc"),
    "scheme": ("scm guile", "scm"),
    "scratch": ("", ""),
    "smalltalk": ("pharo squeak", ""),
    "sml": ("standard-ml", "sml"),
    "solidity": ("sol", "sol"),
    "sparql": ("", "sparql rq"),
    "sql": (
        "postgresql postgres pgsql psql plpgsql pl/pgsql mysql mariadb sqlite sqlite3 tsql t-sql transact-sql mssql"
        " plsql pl/sql oracle-sql bigquery snowflake duckdb hiveql ansi-sql",
        "sql psql ddl",
    ),
    "stata": ("", "ado"),
    "svelte": ("", "svelte"),
    "swift": ("swiftui", "swift"),
    "systemverilog": ("", "sv svh"),
    "tcl": ("tk", "tcl"),
    "tlaplus": ("tla tla+", "tla"),
    "typescript": ("ts tsx mts cts deno", "ts tsx mts cts"),
    "v": ("vlang", ""),
    "vala": ("", "vala"),
    "vba": ("vb-for-applications visual-basic-for-applications excel-vba", ""),
    "vbnet": ("vb vb.net visual-basic visual-basic.net visual-basic-.net visualbasic vb6 basic.net", "vb"),
    "vbscript": ("vbs", "vbs"),
    "verilog": ("", "v vh"),
    "vhdl": ("", "vhd vhdl"),
    "vim": ("vimscript viml vim-script", "vim vimrc"),
    "vue": ("vuejs vue.js", "vue"),
    "vyper": ("", "vy"),
    "wasm": ("wat webassembly", "wat wast"),
    "wgsl": ("", "wgsl"),
    "xquery": ("", "xq xqy"),
    "zig": ("", "zig"),
}
_SETTINGS: Mapping[str, tuple[str, str]] = {
    "apache": ("apacheconf htaccess", "htaccess"),
    "bash": (
        "sh shell zsh ksh dash shellscript shell-script bash-script console terminal shell-session shellsession"
        " sh-session bash-session command-line commandline",
        "sh bash zsh bashrc zshrc profile bats",
    ),
    "batch": ("bat cmd dos dosbatch batchfile", "bat cmd"),
    "bicep": ("", "bicep"),
    "blade": ("", ""),
    "caddyfile": ("caddy", ""),
    "cmake": ("", "cmake"),
    "crontab": ("cron", ""),
    "css": ("", "css"),
    "cue": ("", "cue"),
    "dockerfile": ("docker containerfile", "dockerfile"),
    "dotenv": ("env", "env"),
    "ejs": ("", "ejs"),
    "erb": ("html+erb eruby", "erb"),
    "fish": ("", "fish"),
    "graphql": ("gql", "graphql gql graphqls"),
    "haml": ("", "haml"),
    "handlebars": ("hbs mustache", "hbs mustache"),
    "hcl": ("tf terraform tfvars opentofu", "tf tfvars hcl"),
    "html": ("html5 htm xhtml", "html htm xhtml"),
    "ini": ("cfg conf config systemd editorconfig gitconfig", "ini cfg conf service"),
    "jinja": ("jinja2 j2 html+jinja django html+django", "j2 jinja jinja2"),
    "jsonnet": ("", "jsonnet libsonnet"),
    "just": ("justfile", ""),
    "latex": ("tex", "tex sty bib"),
    "less": ("", "less"),
    "liquid": ("", "liquid"),
    "makefile": ("make gnumake", "mk mak"),
    "meson": ("", ""),
    "nginx": ("nginxconf", ""),
    "nix": ("nixos", "nix"),
    "nushell": ("nu", "nu"),
    "powershell": ("ps1 pwsh ps posh powershell-session pwsh-session", "ps1 psm1 psd1"),
    "properties": ("java-properties", "properties"),
    "protobuf": ("proto proto3 protocol-buffers", "proto"),
    "pug": ("jade", "pug"),
    "puppet": ("", "pp"),
    "razor": ("cshtml blazor", "cshtml razor"),
    "sass": ("", "sass"),
    "scss": ("", "scss"),
    "starlark": ("bazel bzl", "bzl bazel star"),
    "stylus": ("", "styl"),
    "thrift": ("", "thrift"),
    "toml": ("", "toml"),
    "twig": ("", "twig"),
    "typst": ("typ", "typ"),
    "xml": ("svg xsd xslt xsl xaml plist rss wsdl pom", "xml svg xsd xslt xsl xaml plist csproj"),
    "yaml": ("yml kubernetes k8s docker-compose compose openapi helm ansible github-actions", "yaml yml"),
}
_MATERIALS: Mapping[str, tuple[str, str]] = {
    "asciidoc": ("adoc", "adoc"),
    "csv": ("tsv", "csv tsv"),
    "d2": ("", "d2"),
    "diff": ("patch udiff", "diff patch"),
    "dot": ("graphviz gv", "dot gv"),
    "ebnf": ("bnf abnf", "ebnf bnf"),
    "gherkin": ("cucumber feature", "feature"),
    "http": ("https http-request", "http"),
    "json": ("json5 jsonc jsonl ndjson geojson jsonlines json-lines json-schema", "json json5 jsonc jsonl ndjson"),
    "markdown": ("md mdx", "md mdx markdown"),
    "mermaid": ("mmd", "mmd mermaid"),
    "org": ("org-mode", "org"),
    "plantuml": ("puml uml", "puml plantuml"),
    "regex": ("regexp pcre", ""),
    "rst": ("restructuredtext rest", "rst"),
}
_WHOLE_NAMES = {
    ".bashrc": "bash",
    ".env": "dotenv",
    ".htaccess": "apache",
    ".profile": "bash",
    ".vimrc": "vim",
    ".zshrc": "bash",
    "brewfile": "ruby",
    "caddyfile": "caddyfile",
    "cmakelists.txt": "cmake",
    "containerfile": "dockerfile",
    "crontab": "crontab",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "gnumakefile": "makefile",
    "jenkinsfile": "groovy",
    "justfile": "just",
    "makefile": "makefile",
    "meson.build": "meson",
    "nginx.conf": "nginx",
    "podfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
}
# Words in the place of a language's name that say: this is no code.
_NOT_CODE = (
    "text txt plaintext plain plain-text output stdout stderr result results log logs none n/a na nohighlight raw "
    "ascii tree error errors traceback pytb"
)
NOT_CODE = frozenset(_NOT_CODE.split())

_TABLES = {Kind.PROGRAM: _PROGRAMS, Kind.SETTING: _SETTINGS, Kind.MATERIAL: _MATERIALS}
KINDS: Mapping[str, Kind] = {name: kind for kind, table in _TABLES.items() for name in table}
NAMES: Mapping[str, str] = {
    alias: name
    for table in _TABLES.values()
    for name, (aliases, _) in table.items()
    for alias in (name, *aliases.split())
}
_ENDINGS = {
    ending: name for table in _TABLES.values() for name, (_, files) in table.items() for ending in files.split()
}
# `Python 3.12`, `c++17`, `lua5.4`, `Java 21 LTS`: the version says nothing about the language.
_VERSION = re.compile(r"[-\s]?v?\d+(?:\.[\dx]+)*\+?(?:[-\s]lts)?$")


def find_language(name: str) -> str | None:
    """Returns the one name of the language that is called `name`, in any case and with or without its version."""
    called = "-".join(name.lower().replace("_", "-").split())
    unversioned = _VERSION.sub("", called)
    # `c99` is C, and `d3` is no D.
    return NAMES.get(called) or (NAMES.get(unversioned) if len(unversioned) > 1 or unversioned == "c" else None)


def find_language_of_file(path: str) -> str | None:
    """Returns the language of a file by its name, `src/main.rs` or `Dockerfile`; None for a word that names no file."""
    base = re.split(r"[/\\]", path.strip().lower())[-1]
    stem, dot, ending = base.rpartition(".")
    whole = _WHOLE_NAMES.get(base) or (_WHOLE_NAMES.get(stem) if stem in ("dockerfile", "makefile") else None)
    if whole is not None or not dot:
        return whole
    return _ENDINGS.get(ending)
