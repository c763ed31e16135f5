namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// Elementary functions to about 120 bits, so that rounding them once to the x87's 64 bits errs by less than 0.5 + 2^-50 units in
/// the last place: correctly rounded but for arguments that no one will meet. Trigonometric arguments are reduced exactly, by the
/// processors' own π of 66 bits (SDM vol. 1, 8.3.8): against the true one that errs by up to 2^-66 of the argument.
/// </summary>
internal static class Transcendental
{
    private const int Terms = 40;
    private const int Steps = 16;
    private const int NegligibleBits = 128;

    // 1/n for the series.
    private static readonly WideFloat[] Reciprocals = MakeReciprocals();

    // arctan(k/16).
    private static readonly WideFloat[] Arctangents = MakeArctangents();

    /// <summary>2^x - 1 for |x| ≤ 1.</summary>
    public static WideFloat PowerOfTwoLessOne(WideFloat x)
    {
        var y = x * WideFloat.Ln2;
        var sum = default(WideFloat);
        var term = WideFloat.One;
        for (int n = 1; n < Terms; n++)
        {
            term = term * y * Reciprocals[n];
            sum += term;
        }

        return sum;
    }

    /// <summary>log2(x) for x > 0.</summary>
    public static WideFloat Log2(WideFloat x)
    {
        // The mantissa goes to [√½, √2), so that the two parts of the sum never cancel.
        int exponent = x.Exponent;
        var mantissa = x.Scaled(-exponent);
        if (mantissa.Significand >= new UInt128(0xB504_F333_F9DE_6484, 0))
        {
            mantissa = mantissa.Scaled(-1);
            exponent++;
        }

        return WideFloat.From(exponent) + (LogOfOnePlus(mantissa - WideFloat.One) / WideFloat.Ln2);
    }

    /// <summary>log2(1 + x) for |x| below about 0.42, accurate for the smallest x.</summary>
    public static WideFloat Log2OfOnePlus(WideFloat x) => LogOfOnePlus(x) / WideFloat.Ln2;

    /// <summary>sin and cos of an angle below 2^63.</summary>
    public static void SineAndCosine(FloatValue angle, out WideFloat sine, out WideFloat cosine)
    {
        var rest = ReduceByHalfPi(angle, out int quadrant);
        var square = rest * rest;
        var s = default(WideFloat);
        var c = default(WideFloat);
        var term = WideFloat.One;
        for (int n = 1; n < Terms; n += 2)
        {
            // term is ±rest^(n-1)/(n-1)!; the sine takes it times rest/n.
            c += term;
            var next = term * Reciprocals[n];
            s += next;
            if (term.Exponent < -NegligibleBits)
            {
                // What is left changes neither a digit nor the side on which the sum lies.
                break;
            }

            term = -(next * square * Reciprocals[n + 1]);
        }

        s *= rest;
        (sine, cosine) = (quadrant & 3) switch
        {
            0 => (s, c),
            1 => (c, -s),
            2 => (-s, -c),
            _ => (-c, s),
        };
        if (angle.Negative)
        {
            sine = -sine;
        }
    }

    /// <summary>The angle of the point (x, y) with x and y finite, not both zero: between -π and π.</summary>
    public static WideFloat Arctangent(WideFloat y, WideFloat x)
    {
        var height = y.Absolute();
        var width = x.Absolute();
        bool steep = height.Exponent > width.Exponent
            || (height.Exponent == width.Exponent && height.Significand > width.Significand);
        var angle = steep ? WideFloat.Pi.Scaled(-1) - ArctangentOfRatio(width / height) : ArctangentOfRatio(height / width);
        if (x.Negative)
        {
            angle = WideFloat.Pi - angle;
        }

        return y.Negative ? -angle : angle;
    }

    // ln(1 + x) = 2 artanh(x / (2 + x)).
    private static WideFloat LogOfOnePlus(WideFloat x)
    {
        var z = x / (WideFloat.From(2) + x);
        var square = z * z;
        var sum = default(WideFloat);
        var power = WideFloat.One;
        for (int n = 1; n < 2 * Terms; n += 2)
        {
            sum += power * Reciprocals[n];
            power *= square;
        }

        return (sum * z).Scaled(1);
    }

    // For 0 ≤ ratio ≤ 1.
    private static WideFloat ArctangentOfRatio(WideFloat ratio)
    {
        int step = (int)ratio.Scaled(4).ToNearestInteger();
        var u = ratio;
        if (step != 0)
        {
            var c = WideFloat.From(step).Scaled(-4);
            u = (ratio - c) / (WideFloat.One + (ratio * c));
        }

        var square = u * u;
        var sum = default(WideFloat);
        var power = WideFloat.One;
        for (int n = 1; n < Terms; n += 2)
        {
            sum += power * Reciprocals[n];
            power = -(power * square);
        }

        return Arctangents[step] + (sum * u);
    }

    /// <summary>|angle| less the nearest multiple of π/2, in 320-bit fixed point.</summary>
    private static WideFloat ReduceByHalfPi(FloatValue angle, out int quadrant)
    {
        const int limbs = 5;
        const int fractionBits = 255;
        var magnitude = WideFloat.From(angle).Absolute();
        quadrant = 0;
        if (angle.Exponent < -1)
        {
            return magnitude;
        }

        ulong count = (magnitude / WideFloat.Pi.Scaled(-1)).ToNearestInteger();
        quadrant = (int)(count & 3);

        // The 66-bit π/2 × 2^255, lowest limb first.
        ReadOnlySpan<ulong> halfPi = [0, 0, 0xC000_0000_0000_0000, 0xC90F_DAA2_2168_C234];
        Span<ulong> rest = stackalloc ulong[limbs];
        rest.Clear();
        int shift = fractionBits - 63 + angle.Exponent;
        rest[shift / 64] = angle.Significand << (shift % 64);
        if (shift % 64 != 0)
        {
            rest[(shift / 64) + 1] = angle.Significand >> (64 - (shift % 64));
        }

        ulong carry = 0;
        ulong borrow = 0;
        for (int at = 0; at < limbs; at++)
        {
            ulong low = 0;
            ulong high = at < halfPi.Length ? Math.BigMul(halfPi[at], count, out low) : 0;
            low += carry;
            carry = high + (low < carry ? 1ul : 0);
            ulong before = rest[at];
            ulong difference = before - low;
            ulong next = (before < low ? 1ul : 0) + (difference < borrow ? 1ul : 0);
            rest[at] = difference - borrow;
            borrow = next;
        }

        bool negative = (long)rest[limbs - 1] < 0;
        if (negative)
        {
            ulong add = 1;
            for (int at = 0; at < limbs; at++)
            {
                rest[at] = ~rest[at] + add;
                add = add != 0 && rest[at] == 0 ? 1ul : 0;
            }
        }

        int top = limbs - 1;
        while (top > 1 && rest[top] == 0)
        {
            top--;
        }

        // The two limbs under the top one, and as much of the next as normalisation frees.
        var significand = new UInt128(rest[top], rest[top - 1]);
        int exponent = (64 * (top + 1)) - 1 - fractionBits;
        int free = (int)UInt128.LeadingZeroCount(significand);
        if (free is > 0 and < 64 && top >= 2)
        {
            significand = (significand << free) | (rest[top - 2] >> (64 - free));
            exponent -= free;
        }

        return WideFloat.Normalized(negative, exponent, significand);
    }

    private static WideFloat[] MakeReciprocals()
    {
        var reciprocals = new WideFloat[(2 * Terms) + 1];
        for (int n = 1; n < reciprocals.Length; n++)
        {
            reciprocals[n] = WideFloat.One / WideFloat.From(n);
        }

        return reciprocals;
    }

    // Euler's series, which converges at 1: arctan x = Σ (2n)!!/(2n+1)!! · x^(2n+1) / (1 + x²)^(n+1).
    private static WideFloat[] MakeArctangents()
    {
        var table = new WideFloat[Steps + 1];
        for (int k = 1; k <= Steps; k++)
        {
            var x = WideFloat.From(k).Scaled(-4);
            var scale = WideFloat.One / (WideFloat.One + (x * x));
            var ratio = x * x * scale;
            var term = x * scale;
            var sum = term;
            for (int n = 1; n < 140; n++)
            {
                term = term * ratio * (WideFloat.From(2 * n) / WideFloat.From((2 * n) + 1));
                sum += term;
            }

            table[k] = sum;
        }

        return table;
    }
}
