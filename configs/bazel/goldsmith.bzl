"""Images and update Artifacts as targets of Bazel: one action of goldsmith each.

All files that the configuration names must be in `srcs`, with the same relative paths, since an action sees no others.
"""

def _goldsmith_image_impl(ctx):
    name = ctx.attr.image_name or ctx.label.name
    endings = [ctx.attr.image_extension, "mender", "json"]
    if ctx.attr.block_map:
        endings.append("img.bmap")
    outputs = [ctx.actions.declare_file(name + "." + ending) for ending in endings]

    arguments = ctx.actions.args()
    arguments.add("convert")
    arguments.add_all(ctx.attr.boards, before_each = "--config")
    arguments.add_all(ctx.files.configs, before_each = "--config")
    arguments.add_all(ctx.attr.settings, before_each = "--set")

    # The names of the results must be known when Bazel analyses the target.
    arguments.add("--set", "output.name=" + name)
    arguments.add("--output-dir", outputs[0].dirname)
    if ctx.file.modes:
        arguments.add("--file-modes", ctx.file.modes)
    arguments.add("--quiet")
    arguments.add(ctx.file.golden_image)

    ctx.actions.run(
        executable = ctx.executable.goldsmith,
        arguments = [arguments],
        inputs = depset(
            ctx.files.configs + ctx.files.srcs + [ctx.file.golden_image] +
            ([ctx.file.modes] if ctx.file.modes else []),
        ),
        outputs = outputs,
        mnemonic = "Goldsmith",
        progress_message = "Converting %{label}",
    )
    return [DefaultInfo(files = depset(outputs))]

goldsmith_image = rule(
    implementation = _goldsmith_image_impl,
    doc = "Converts a golden image into an A/B image and an update Artifact.",
    attrs = {
        "block_map": attr.bool(default = True, doc = "Whether a block map is written (output.bmap)."),
        "boards": attr.string_list(doc = "Built-in boards, the first configurations."),
        "configs": attr.label_list(allow_files = [".toml"], doc = "Configurations, later ones over earlier ones."),
        "golden_image": attr.label(allow_single_file = True, mandatory = True, doc = "The golden image."),
        "goldsmith": attr.label(
            allow_single_file = True,
            cfg = "exec",
            executable = True,
            mandatory = True,
            doc = "The program.",
        ),
        "image_extension": attr.string(
            default = "img.gz",
            doc = "The ending of the image, as output.image makes it.",
        ),
        "image_name": attr.string(doc = "The base name of the results; that of the target if empty."),
        "modes": attr.label(
            allow_single_file = True,
            doc = "Permission bits of overlays, as `goldsmith fleet plan` lists them: Bazel keeps only whether files can be executed.",
        ),
        "settings": attr.string_list(doc = "Keys of the configuration, as KEY=VALUE."),
        "srcs": attr.label_list(allow_files = True, doc = "Files that the configurations name."),
    },
)
