/* replay.c -- stands in for libFuzzer: runs the target over the files named, and the files in the directories named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	size_t size;

	if (!file)
		return -1;
	data = malloc(1u << 24);
	size = data ? fread(data, 1, 1u << 24, file) : 0;
	(void)fclose(file);
	if (data)
		(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	return data ? 0 : -1;
}

static int
replay_dir(const char *path, unsigned *count)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char name[4096];
	int fault = dir ? 0 : -1;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		fault |= replay_file(name);
		++*count;
	}
	if (dir)
		(void)closedir(dir);
	return fault;
}

int
main(int argc, char **argv)
{
	unsigned count = 0;
	struct stat st;

	for (int i = 1; i < argc; i++) {
		int fault = stat(argv[i], &st);

		if (!fault && S_ISDIR(st.st_mode)) {
			fault = replay_dir(argv[i], &count);
		} else if (!fault) {
			fault = replay_file(argv[i]);
			count++;
		}
		if (fault) {
			perror(argv[i]);
			return 1;
		}
	}
	(void)printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
