namespace Hypervisor.Shell.Language;

/// <summary>Finds what somebody may have meant.</summary>
internal static class Spelling
{
    // More wrong letters than these are another word.
    private const int MostWrongLetters = 3;

    /// <summary>The candidate nearest to what was written; null when none is near.</summary>
    public static string? Nearest(string written, IEnumerable<string> candidates)
    {
        int allowed = Math.Min(MostWrongLetters, Math.Max(1, written.Length / 2));
        (string? name, int distance) = candidates.Select(candidate => (candidate, DistanceOfWord(candidate, written))).MinBy(static item => item.Item2);
        return name is not null && distance <= allowed ? name : null;
    }

    // The beginning of a word stands for it too, at the price of a letter: -Memry is nearer to -MemoryGB than three letters are.
    private static int DistanceOfWord(string candidate, string written) =>
        Math.Min(Distance(candidate, written), 1 + Distance(candidate[..Math.Min(candidate.Length, written.Length + 1)], written));

    // Levenshtein's distance, without regard to case.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int cost = char.ToUpperInvariant(a[i - 1]) == char.ToUpperInvariant(b[j - 1]) ? 0 : 1;
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + cost));
            }
        }

        return row[b.Length];
    }
}
