#include "base/error.h"
#include "runtime/kvm.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test-kvm-XXXXXX";
static char device[128], cpuinfo[128];
static struct kvm_places places = { device, cpuinfo, folder };
static struct kvm_report report;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(device, sizeof device, "%s/kvm", folder);
	(void)snprintf(cpuinfo, sizeof cpuinfo, "%s/cpuinfo", folder);
}

static void tear_down(void)
{
	char path[160];

	(void)unlink(device);
	(void)unlink(cpuinfo);
	(void)snprintf(path, sizeof path, "%s/kvm_intel", folder);
	(void)rmdir(path);
	(void)rmdir(folder);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static void cpu(const char *flags)
{
	char text[256];

	(void)snprintf(text, sizeof text, "vendor_id\t: GenuineIntel\nflags\t\t: %s\nbugs\t: vmx\n",
		       flags);
	write_file(cpuinfo, text);
}

TestSuite(kvm, .init = set_up, .fini = tear_down);

Test(kvm, likely_needs_a_device_and_a_driver)
{
	char module[160];

	(void)snprintf(module, sizeof module, "%s/kvm_intel", folder);
	cr_assert_eq(mkdir(module, 0700), 0);
	cr_assert_not(kvm_likely(&places));
	write_file(device, "x");
	cr_assert(kvm_likely(&places));
	cr_assert_eq(rmdir(module), 0);
	cr_assert_not(kvm_likely(&places), "a software KVM has neither driver");
}

Test(kvm, missing_with_its_cause)
{
	char module[160];

	cpu("fpu vmx");
	kvm_probe(&places, &report);
	cr_assert_eq(report.state, KVM_MISSING);
	cr_assert_not_null(strstr(report.why, "kvm_intel is not loaded"));
	cr_assert_not_null(strstr(report.fix, "modprobe kvm_intel"));
	(void)snprintf(module, sizeof module, "%s/kvm_intel", folder);
	cr_assert_eq(mkdir(module, 0700), 0);
	kvm_probe(&places, &report);
	cr_assert_not_null(strstr(report.why, "container"));
	cpu("fpu");
	kvm_probe(&places, &report);
	cr_assert_not_null(strstr(report.why, "firmware"));
	cpu("fpu notvmx svmx");
	kvm_probe(&places, &report);
	cr_assert_not_null(strstr(report.why, "firmware"), "whole words only");
	cpu("fpu hypervisor");
	kvm_probe(&places, &report);
	cr_assert_not_null(strstr(report.fix, "nested"));
}

Test(kvm, another_file_is_not_kvm)
{
	cpu("vmx");
	write_file(device, "x");
	kvm_probe(&places, &report);
	cr_assert_eq(report.state, KVM_NOT_WORKING);
	cr_assert_not_null(strstr(report.what, "is not KVM's"));
}
