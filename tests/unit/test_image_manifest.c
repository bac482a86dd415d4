#include "runtime/image/config.h"
#include "runtime/image/digest.h"
#include "runtime/image/layers.h"
#include "runtime/image/manifest.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "\"digest\":\"sha256:" HEX "\",\"size\":7"
#define CONFIG "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"," DIGEST "}"
#define LAYER  "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\"," DIGEST "}"

static int parse(const char *text, const char *type, struct manifest *out, struct error *err)
{
	return manifest_parse(text, strlen(text), type, "x", out, err);
}

Test(manifest, image)
{
	struct manifest manifest;
	struct error err = { 0 };

	cr_assert_eq(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "," LAYER "]} \n",
			   NULL, &manifest, &err),
		     0, "%s", err.text);
	cr_assert_eq(manifest.kind, MANIFEST_IMAGE);
	cr_assert_eq(manifest.layer_count, 2);
	cr_assert_eq(manifest.layers[1].size, 7);
	manifest_finish(&manifest);
}

Test(manifest, refused_with_the_reason)
{
	static const struct {
		const char *text, *type, *says;
	} rows[] = {
		{ "", NULL, "not valid JSON" },
		{ "[]", NULL, "not a JSON object" },
		{ "{} x", NULL, "not valid JSON" },
		{ "{\"schemaVersion\":1}", NULL, "schema 1" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "]}",
		  "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1" },
		{ "{\"schemaVersion\":3}", NULL, "schemaVersion" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"text/odd\"}", NULL, "\"text/odd\"" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"\\u001b[2J\\u009b\\u0007\"}", NULL,
		  "\"?[2J???\"" },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"\\u001b[2J\"," DIGEST "}]}",
		  NULL, "layer 1 has the unknown media type \"?[2J\"" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL, "no layers" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", NULL,
		  "at once" },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"application/x-odd\"," DIGEST "}]}",
		  NULL, "layer 1 has the unknown media type \"application/x-odd\"" },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		  "\"digest\":\"sha256:12\",\"size\":1}]}",
		  NULL, "64 hexadecimal" },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		  "\"digest\":\"sha256:" HEX "\",\"size\":-1}]}",
		  NULL, "negative" },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		  "\"digest\":\"sha256:" HEX "\"}]}",
		  NULL, "no \"size\"" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "]}",
		  "application/vnd.oci.image.index.v1+json", "does not fit" },
		{ "{\"schemaVersion\":2,\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]"
		  "]]]]]]]]]]}",
		  NULL, "not valid JSON" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct manifest manifest;
		struct error err = { 0 };

		cr_assert_lt(parse(rows[i].text, rows[i].type, &manifest, &err), 0, "%s",
			     rows[i].text);
		cr_assert(strstr(err.text, rows[i].says), "%zu: %s", i, err.text);
	}
}

#define ENTRY(os, arch, hex)                                                                       \
	"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:" hex   \
	"\",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}}"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(manifest, index_picks_the_platform)
{
	static const char text[] =
	    "{\"schemaVersion\":2,\"manifests\":["
	    "{\"mediaType\":\"application/vnd.example.signature\",\"digest\":\"odd\"}," ENTRY(
		"unknown", "unknown", HEX) "," ENTRY("linux", "arm64",
						     HEX) "," ENTRY("linux", "amd64", OTHER) "]}";
	const struct manifest_entry *entry;
	struct platform platform;
	struct manifest index;
	struct error err = { 0 };

	cr_assert_eq(parse(text, NULL, &index, &err), 0, "%s", err.text);
	cr_assert_eq(index.kind, MANIFEST_INDEX);
	cr_assert_eq(index.entry_count, 3);
	cr_assert_eq(platform_parse("linux/amd64", &platform, NULL), 0);
	cr_assert_eq(manifest_select(&index, &platform, "x", &entry, &err), 0);
	cr_assert_str_eq(entry->descriptor.digest, "sha256:" OTHER);
	cr_assert_eq(platform_parse("linux/s390x", &platform, NULL), 0);
	cr_assert_eq(manifest_select(&index, &platform, "x", &entry, &err), -ENOENT);
	cr_assert_str_eq(err.text,
			 "x is not there for linux/s390x, only for: linux/arm64, linux/amd64");
	manifest_finish(&index);
}

Test(config, fields)
{
	static const char text[] =
	    "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"Entrypoint\":null,"
	    "\"Cmd\":[\"a\",\"b\"],\"Env\":[\"A=1\"],\"WorkingDir\":\"\",\"User\":\"www\","
	    "\"Volumes\":{\"/data\":{}},\"Labels\":{\"k\":\"v\"},\"StopSignal\":\"SIGINT\","
	    "\"ExposedPorts\":{\"80/tcp\":{}}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
	    "\"sha256:" HEX "\"]}}";
	struct config config;
	struct error err = { 0 };

	cr_assert_eq(config_parse(text, strlen(text), "x", &config, &err), 0, "%s", err.text);
	cr_assert_eq(config.image.entrypoint.count, 0);
	cr_assert_null(config.image.entrypoint.items);
	cr_assert_eq(config.image.cmd.count, 2);
	cr_assert_str_eq(config.image.cmd.items[1], "b");
	cr_assert_null(config.image.cmd.items[2]);
	cr_assert_str_eq(config.image.volumes.items[0], "/data");
	cr_assert_str_eq(config.image.labels.items[0], "k=v");
	cr_assert_str_eq(config.image.exposed_ports.items[0], "80/tcp");
	cr_assert_null(config.image.workdir);
	cr_assert_str_eq(config.image.user, "www");
	config_finish(&config);
}

Test(config, refused_with_the_reason)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "{}", "rootfs" },
		{ "{\"config\":{\"Cmd\":\"sh\"}}", "\"Cmd\" is of type string" },
		{ "{\"config\":{\"Env\":[1]}}", "not a text" },
		{ "{\"config\":{\"Env\":[\"a\\u0000b\"]}}", "NUL" },
		{ "{\"rootfs\":{\"type\":\"odd\",\"diff_ids\":[]}}", "\"odd\"" },
		{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", "0 layers" },
		{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}", "64 hexadecimal" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct config config;
		struct error err = { 0 };

		cr_assert_lt(config_parse(rows[i].text, strlen(rows[i].text), "x", &config, &err),
			     0);
		cr_assert(strstr(err.text, rows[i].says), "%zu: %s", i, err.text);
	}
}

/* A configuration with count layers, the i-th named by i % distinct. */
static void make(struct config *config, size_t count, size_t distinct)
{
	*config = (struct config){ .diff_id_count = count };
	config->diff_ids = calloc(count, sizeof *config->diff_ids);
	for (size_t i = 0; i < count; i++)
		(void)snprintf(config->diff_ids[i], IMAGE_DIGEST_SIZE, "sha256:%064zx",
			       i % distinct);
}

Test(layers, plan)
{
	struct config config;
	struct layer_plan plan;

	make(&config, 3, 3);
	cr_assert_eq(layers_plan(&config, 0, &plan, NULL), 0);
	cr_assert_eq(plan.object_count, 3);
	cr_assert_str_eq(plan.objects[0].digest, config.diff_ids[2]);
	cr_assert_str_eq(plan.objects[2].digest, config.diff_ids[0]);
	layers_plan_finish(&plan);
	config_finish(&config);

	make(&config, 40, 40); /* the bottom 29 share one */
	cr_assert_eq(layers_plan(&config, 0, &plan, NULL), 0);
	cr_assert_eq(plan.object_count, IMAGE_MAX_LAYERS);
	cr_assert_eq(plan.objects[IMAGE_MAX_LAYERS - 1].count, 29);
	cr_assert_str_eq(plan.objects[10].digest, config.diff_ids[29]);
	cr_assert_str_neq(plan.objects[11].digest, config.diff_ids[0]);
	cr_assert(digest_is_valid(plan.objects[11].digest));
	layers_plan_finish(&plan);
	config_finish(&config);

	make(&config, 5, 5); /* the bottom three must be one */
	cr_assert_eq(layers_plan(&config, 3, &plan, NULL), 0);
	cr_assert_eq(plan.object_count, 3);
	cr_assert_eq(plan.objects[2].count, 3);
	cr_assert_str_eq(plan.objects[1].digest, config.diff_ids[3]);
	layers_plan_finish(&plan);
	cr_assert_eq(layers_plan(&config, 9, &plan, NULL), 0);
	cr_assert_eq(plan.object_count, 1);
	layers_plan_finish(&plan);
	config_finish(&config);

	make(&config, 30, 2); /* each content counts once, at its upper place */
	cr_assert_eq(layers_plan(&config, 0, &plan, NULL), 0);
	cr_assert_eq(plan.object_count, 2);
	cr_assert_eq(plan.indices[0], 28);
	cr_assert_eq(plan.indices[1], 29);
	layers_plan_finish(&plan);
	config_finish(&config);
}

Test(layers, those_to_be_squashed)
{
	struct image_layer layers[IMAGE_MAX_LAYERS] = { 0 };
	struct config config;
	struct layer_plan plan;

	make(&config, 5, 5);
	cr_assert_eq(layers_plan(&config, 0, &plan, NULL), 0);
	cr_assert_eq(layers_to_squash(&plan, layers), 0);
	layers[4].is_implied = true; /* nothing is below it */
	cr_assert_eq(layers_to_squash(&plan, layers), 0);
	layers[3].is_implied = layers[2].is_implied = true;
	cr_assert_eq(layers_to_squash(&plan, layers), 3);
	layers[0].is_implied = true;
	cr_assert_eq(layers_to_squash(&plan, layers), 5);
	layers[0] = (struct image_layer){ .is_opaque = true }; /* what is below does not count */
	cr_assert_eq(layers_to_squash(&plan, layers), 0);
	layers_plan_finish(&plan);
	config_finish(&config);
}
